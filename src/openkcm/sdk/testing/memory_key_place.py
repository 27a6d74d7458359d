"""The key management system in memory as a place of the kit: whoever stands before that store is tested with it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict
from itertools import count

from openkcm.sdk.conformance.key_place import KeyPlace
from openkcm.sdk.key_store import Connection, KeyStorePlugin
from openkcm.sdk.testing.memory_declaration import memory_declaration
from openkcm.sdk.testing.memory_key_store import MemoryPlugin
from openkcm.sdk.testing.memory_kms import ADDRESS, FaultKind, Identity, MemoryKey, MemoryKms, hashed

_FAULTS: Mapping[str, FaultKind] = {
    "timeout": "late",
    "unreachable": "away",
    "throttled": "throttled",
    "server-error": "failing",
    "name-gone": "gone",
    "unreadable": "garbage",
    "unknown": "unknown",
}


class MemoryPlace(KeyPlace):
    """``through`` is what opens the stores, where that is not the reference store itself."""

    def __init__(self, kms: MemoryKms | None = None, *, through: KeyStorePlugin | None = None) -> None:
        self.kms = kms or MemoryKms()
        self._plugin = through or MemoryPlugin(
            self.kms, declaration=memory_declaration(call_s=2.0), deadline_s=0.05
        )
        self._rights = [each.name for each in self._plugin.declaration.permissions]
        self._numbers = count(1)

    @property
    def plugin(self) -> KeyStorePlugin:
        return self._plugin

    async def connect(self, tenant: str) -> Connection:
        number, subject = next(self._numbers), f"subject-{secrets.token_hex(8)}"
        key, identity = f"key-{number}", f"identity-{number}"
        password = self.kms.create(key, identity=identity, rights=list(self._rights), names=subject)
        return Connection(
            id=f"connection-{number}",
            tenant=tenant,
            answers={"address": ADDRESS, "key": key, "identity": identity},
            secrets={"password": password},
            subject=subject,
        )

    async def cause(self, code: str, connection: Connection) -> None:
        key, identity = connection.answers["key"], connection.answers["identity"]
        keys: Mapping[str, Callable[[MemoryKey], object]] = {
            "key-disabled": lambda each: setattr(each, "state", "disabled"),
            "key-deleted": lambda each: setattr(each, "state", "deleted"),
            "key-not-found": lambda each: setattr(each, "state", "absent"),
            "not-permitted": lambda each: each.rights.clear(),
        }
        identities: Mapping[str, Callable[[Identity], object]] = {
            "credential-expired": lambda each: setattr(each, "state", "expired"),
            "credential-refused": lambda each: setattr(each, "password", each.password[::-1]),
            "identity-unknown": lambda each: setattr(each, "state", "absent"),
        }
        if code in _FAULTS:
            self.kms.fail(_FAULTS[code], key=key)
        elif code in keys:
            self.kms.change_key(key, keys[code])
        elif code in identities:
            self.kms.change_identity(identity, identities[code])

    async def mend(self, connection: Connection) -> None:
        key, identity = connection.answers["key"], connection.answers["identity"]
        self.kms.heal(key)
        with self.kms.changing() as held:
            held.keys[key].state = "enabled"
            held.keys[key].rights = {identity: list(self._rights)}
            held.keys[key].names = connection.subject
            held.keys[key].exportable = False
            held.identities[identity] = Identity(password=hashed(connection.secrets["password"]))

    async def snapshot(self) -> object:
        return {**asdict(self.kms.held), "faults": ()}

    async def rotate(self, connection: Connection) -> None:
        self.kms.rotate(connection.answers["key"])

    async def disable(self, connection: Connection) -> None:
        await self.cause("key-disabled", connection)

    async def set_up(self, connection: Connection) -> Mapping[str, str]:
        await self.cause("not-permitted", connection)
        return {"admin_password": self.kms.administrator()}

    async def disown(self, connection: Connection) -> None:
        self.kms.change_key(connection.answers["key"], lambda each: setattr(each, "names", "somebody-else"))

    async def expose(self, connection: Connection) -> None:
        self.kms.change_key(connection.answers["key"], lambda each: setattr(each, "exportable", True))

    async def unknown_answer(self, connection: Connection) -> None:
        await self.cause("unknown", connection)

    async def garbage(self, connection: Connection) -> None:
        await self.cause("unreadable", connection)

    async def take_right(self, connection: Connection, permission: str) -> None:
        identity = connection.answers["identity"]
        self.kms.change_key(connection.answers["key"], lambda each: each.rights[identity].remove(permission))

    async def grant_too_much(self, connection: Connection) -> str:
        identity = connection.answers["identity"]
        self.kms.change_key(
            connection.answers["key"], lambda each: each.rights[identity].append("memory:Delete")
        )
        return "memory:Delete"

    async def wrong_value(self, connection: Connection, field: str) -> str:
        return "https://nobody.example" if field == "address" else f"wrong-{secrets.token_hex(8)}"
