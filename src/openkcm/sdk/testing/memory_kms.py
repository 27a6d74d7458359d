"""A key management system for tests: keys with versions and states, identities with rights, and faults at will.

It is in memory, or in a directory that several processes share: what one of them changes, the others see at their next
call. A test in one process so makes trouble for a store in another. Its keys lie open in a file: for tests alone.
"""

from __future__ import annotations

import asyncio
import fcntl
import hmac
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

ADDRESS: Final = "https://kms.example"
FaultKind = Literal["late", "away", "throttled", "failing", "gone", "unknown", "garbage", "block", "crash"]
_NONCE_BYTES: Final = 12
_VERSION_BYTES: Final = 4
_LOOK_AGAIN_S: Final = 0.005
Right = Literal["memory:Wrap", "memory:Unwrap", "memory:Describe"]


@dataclass(slots=True, kw_only=True)
class MemoryKey:
    """One key as the system holds it. ``rights`` are by identity; ``names`` is the subject that the owner named."""

    versions: list[str]
    state: Literal["enabled", "disabled", "deleted", "absent"] = "enabled"
    rights: dict[str, list[str]] = field(default_factory=dict)
    names: str = ""
    exportable: bool = False


@dataclass(slots=True, kw_only=True)
class Identity:
    """Who may ask; the password is kept as its SHA-256."""

    password: str
    state: Literal["valid", "expired", "absent"] = "valid"


@dataclass(slots=True, kw_only=True)
class Fault:
    """What goes wrong at every call about ``key``, or about any key where that is empty.

    ``late`` answers after ``wait_s``; ``block`` stops the whole process that asks for so long, ``crash`` ends it.
    """

    kind: FaultKind
    key: str = ""
    wait_s: float = 3600.0


@dataclass(slots=True, kw_only=True)
class Holdings:
    """All that the system holds."""

    keys: dict[str, MemoryKey] = field(default_factory=dict)
    identities: dict[str, Identity] = field(default_factory=dict)
    administrators: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks, about which key."""

    address: str
    key: str
    identity: str
    password: str = field(repr=False)


class Denied(Exception):
    """The system's answer when it says no. ``status`` is its own name for it; the text is as talkative as real ones."""

    def __init__(self, status: str, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status


class MemoryKms:
    """The system. Whatever stands in ``directory`` is seen by every process that names it."""

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory
        self._held = Holdings()

    @property
    def held(self) -> Holdings:
        """What it holds now, as a copy."""
        return deepcopy(self._read())

    @contextmanager
    def changing(self) -> Iterator[Holdings]:
        """What is changed inside is there at once for everybody, all of it or, after an exception, nothing."""
        if self._directory is None:
            draft = deepcopy(self._held)
            yield draft
            self._held = draft
            return
        self._directory.mkdir(parents=True, exist_ok=True)
        with (self._directory / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            draft = self._read()
            yield draft
            written = self._directory / f".held.{secrets.token_hex(8)}"
            written.write_text(json.dumps(asdict(draft)))
            written.replace(self._directory / "held.json")

    def create(self, key: str, *, identity: str, rights: list[str], names: str) -> str:
        """A new key that ``identity``, new too, may use with ``rights``; the answer is its password."""
        password = secrets.token_urlsafe(24)
        with self.changing() as held:
            held.identities[identity] = Identity(password=hashed(password))
            held.keys[key] = MemoryKey(
                versions=[os.urandom(32).hex()], rights={identity: rights}, names=names
            )
        return password

    def rotate(self, key: str) -> None:
        """A new version wraps from now on."""
        with self.changing() as held:
            held.keys[key].versions.append(os.urandom(32).hex())

    def change_key(self, key: str, change: Callable[[MemoryKey], object]) -> None:
        """The key is as ``change`` made it."""
        with self.changing() as held:
            change(held.keys[key])

    def change_identity(self, identity: str, change: Callable[[Identity], object]) -> None:
        """The identity is as ``change`` made it."""
        with self.changing() as held:
            change(held.identities[identity])

    def administrator(self) -> str:
        """The password of somebody new who may give rights."""
        password = secrets.token_urlsafe(24)
        with self.changing() as held:
            held.administrators.append(hashed(password))
        return password

    def fail(self, kind: FaultKind, *, key: str = "", wait_s: float = 3600.0) -> None:
        """From now on this goes wrong, until ``heal``."""
        with self.changing() as held:
            held.faults.append(Fault(kind=kind, key=key, wait_s=wait_s))

    def heal(self, key: str | None = None) -> None:
        """Nothing goes wrong any more about this key, or at all; what was late is answered."""
        with self.changing() as held:
            held.faults = [] if key is None else [each for each in held.faults if each.key != key]

    async def wrap(self, caller: Caller, secret: bytes, context: bytes) -> dict[str, object]:
        """``{"blob", "version"}``, under the newest version."""
        key = await self._ask(caller, "memory:Wrap")
        if key is None:
            return {"page": "<html>"}
        number = len(key.versions)
        head, nonce = number.to_bytes(_VERSION_BYTES, "big"), os.urandom(_NONCE_BYTES)
        sealed = AESGCM(bytes.fromhex(key.versions[-1])).encrypt(nonce, secret, head + context)
        return {"blob": head + nonce + sealed, "version": str(number)}

    async def unwrap(self, caller: Caller, blob: bytes, context: bytes) -> dict[str, object]:
        """``{"secret"}``."""
        key = await self._ask(caller, "memory:Unwrap")
        if key is None:
            return {"page": "<html>"}
        head, nonce, sealed = blob[:4], blob[4:16], blob[16:]
        number = int.from_bytes(head, "big")
        if not 1 <= number <= len(key.versions) or len(nonce) != _NONCE_BYTES:
            raise Denied("InvalidCiphertext", f"no version of {caller.key} made this blob")
        try:
            secret = AESGCM(bytes.fromhex(key.versions[number - 1])).decrypt(nonce, sealed, head + context)
        except InvalidTag:
            raise Denied("InvalidCiphertext", f"the blob does not authenticate under {caller.key}") from None
        return {"secret": secret}

    async def describe(self, caller: Caller) -> dict[str, object]:
        """``{"version", "enabled", "exportable", "names"}``."""
        key = await self._ask(caller, "memory:Describe", needs_enabled=False)
        if key is None:
            return {"page": "<html>"}
        shown = {"exportable": key.exportable, "names": key.names, "enabled": key.state == "enabled"}
        return {"version": str(len(key.versions)), **shown}

    async def rights(self, caller: Caller) -> dict[str, object]:
        """``{"rights"}`` that the caller has on the key; whoever is known may ask for his own."""
        key = await self._ask(caller, None, needs_enabled=False)
        return {"page": "<html>"} if key is None else {"rights": list(key.rights.get(caller.identity, []))}

    async def grant(self, caller: Caller, rights: list[str], *, administrator: str) -> None:
        """The caller's identity has exactly these rights on the key."""
        await self._fail(caller)
        if hashed(administrator) not in self._read().administrators:
            raise Denied("AccessDenied", "this is no administrator")
        self.change_key(caller.key, lambda key: key.rights.update({caller.identity: rights}))

    async def _ask(
        self, caller: Caller, right: Right | None, *, needs_enabled: bool = True
    ) -> MemoryKey | None:
        """The key, once everything allows it; None where the answer is to be garbage."""
        garbage = await self._fail(caller)
        held = self._read()
        if caller.address != ADDRESS:
            raise Denied("NoSuchHost", f"nobody answers to {caller.address}")
        identity = held.identities.get(caller.identity)
        if identity is None or identity.state == "absent":
            raise Denied("UnknownIdentity", f"there is no {caller.identity}")
        if identity.state == "expired":
            raise Denied("ExpiredCredential", f"the password of {caller.identity} has expired")
        if not hmac.compare_digest(identity.password, hashed(caller.password)):
            raise Denied("WrongCredential", f"not the password of {caller.identity}")
        key = held.keys.get(caller.key)
        if key is None or key.state == "absent":
            raise Denied("NotFound", f"there is no key {caller.key}")
        if key.state == "deleted":
            raise Denied("KeyDeleted", f"{caller.key} is pending deletion")
        if right is not None and right not in key.rights.get(caller.identity, []):
            raise Denied("AccessDenied", f"{caller.identity} is not authorized to perform {right}")
        if needs_enabled and key.state == "disabled":
            raise Denied("KeyDisabled", f"{caller.key} is disabled")
        return None if garbage else key

    async def _fail(self, caller: Caller) -> bool:
        """What is to go wrong has gone wrong. Whether the answer is to be garbage."""
        began = time.monotonic()
        await asyncio.sleep(0)
        for fault in self._faults(caller):
            match fault.kind:
                case "away":
                    raise ConnectionRefusedError
                case "crash":
                    os._exit(70)
                case "block":
                    time.sleep(fault.wait_s)  # noqa: ASYNC251 - it is the fault: a library that blocks the loop
                case "late":
                    ends_at = began + fault.wait_s
                    while fault in self._faults(caller) and time.monotonic() < ends_at:  # noqa: ASYNC110 - another process may heal it
                        await asyncio.sleep(_LOOK_AGAIN_S)
                case "throttled" | "failing" | "gone" | "unknown":
                    raise Denied(fault.kind, f"the system is {fault.kind}")
        return any(fault.kind == "garbage" for fault in self._faults(caller))

    def _faults(self, caller: Caller) -> list[Fault]:
        return [each for each in self._read().faults if each.key in {"", caller.key}]

    def _read(self) -> Holdings:
        if self._directory is None:
            return self._held
        file = self._directory / "held.json"
        # Read anew each time: two changes within one tick of the file system's clock can look like none.
        return _holdings(json.loads(file.read_text())) if file.exists() else Holdings()


def _holdings(read: dict[str, dict[str, dict[str, str]]]) -> Holdings:
    """What ``asdict`` wrote, by the same classes."""
    keys = {name: MemoryKey(**each) for name, each in read["keys"].items()}  # type: ignore[arg-type]  # as written
    identities = {name: Identity(**each) for name, each in read["identities"].items()}  # type: ignore[arg-type]  # too
    faults = [Fault(**each) for each in read["faults"]]  # type: ignore[arg-type]  # as it was written
    return Holdings(
        keys=keys, identities=identities, administrators=list(read["administrators"]), faults=faults
    )


def hashed(password: str) -> str:
    """A password as the system keeps it."""
    return sha256(password.encode()).hexdigest()
