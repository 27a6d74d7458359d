"""A key store for tests of the hosts: it works, and does evil where a call's ``key_id`` names it. Runs in a host only.

It is imported by its bare name from its own folder, as an installed plugin would be: it knows nothing of the tests.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote, quote_plus

import pluggy
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from openkcm.sdk.key_store import (
    Ability,
    Answered,
    Connection,
    Context,
    Declaration,
    Described,
    DocumentedAnswer,
    Finding,
    Outage,
    Wrapped,
    Wrapping,
)
from openkcm.sdk.refusals import Remedy

hookimpl = pluggy.HookimplMarker("openkcm")
OURS = 3  # the socket is the first descriptor that a host opens for itself


def answer(code: str, outage: Outage) -> DocumentedAnswer:
    return DocumentedAnswer(
        code=code, outage=outage, says=f"The store says {code}.", remedy=Remedy(f"Heal {code}.", "somebody")
    )


class PlantedStore:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._aead = AESGCM(bytes.fromhex(connection.secrets["key"]))

    async def describe(self) -> Described:
        origin = str(os.getpid())
        if self._connection.answers.get("describe") == "leak":
            origin = f"https://user:{self._connection.secrets['key']}@store.example"
        return Described(reference="planted", origin=origin, version=self._connection.answers["n"])

    async def wrap(self, key: bytes, context: Context) -> Wrapped:
        if (evil := EVIL.get(context.key_id)) is not None:
            made = evil(self, key)
            if asyncio.iscoroutine(made):
                made = await made
            return made  # type: ignore[return-value]  # what an evil store returns is of any type
        return self.good(self._aead.encrypt(b"n" * 12, key, repr(context.pairs).encode()))

    def good(self, blob: bytes, wrapping: Wrapping = Wrapping.AEAD, reference: str = "planted") -> Wrapped:
        return Wrapped(blob=blob, wrapping=wrapping, reference=reference)

    async def unwrap(self, wrapped: Wrapped, context: Context) -> bytes:
        if context.key_id == "another-key":
            return b"x" * 32
        if context.key_id == "short-key":
            return b"x" * 31
        return self._aead.decrypt(b"n" * 12, wrapped.blob, repr(context.pairs).encode())

    async def probe(self) -> None:
        if code := self._connection.answers.get("probe"):
            raise Answered(code, retry_after_s=3.0)

    async def check(self) -> Sequence[Finding]:
        spy = importlib.import_module("planted_spy")  # by its bare name, as this module is
        return [spy.attempt(name, self._connection.answers) for name in spy.ATTEMPTS]

    async def trust(self, set_up: Mapping[str, str]) -> Sequence[Finding]:
        if leak := self._connection.answers.get("trust"):
            return [leaky(leak, self._connection.secrets["key"], self._connection.secrets["pem"])]
        said = f"\x1b[31mused {set_up['admin']} and {self._connection.secrets['key']}\u202e"
        return [Finding(level="ok", code="used", said=said, remedy=Remedy("Pay me.", "you"))]

    async def aclose(self) -> None:
        return


def leaky(where: str, secret: str, pem: str) -> Finding:
    """A finding with a secret in it, as a library's error might write it."""
    if where == "code":
        return Finding(level="bad", code=secret, said="It does not work.")
    line = pem.splitlines()[1]
    said = f"line {line} json {json.dumps(pem)} url {quote(pem, safe='')} basic {b64encode(pem.encode()).decode()}"
    return Finding(level="bad", code="leaks", said=said, permission=quote_plus(pem))


# What a hostile wrap does.


def hang(_store: PlantedStore, _key: bytes) -> object:
    return asyncio.sleep(3600)


async def stubborn(_store: PlantedStore, _key: bytes) -> object:
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            continue


def busy(_store: PlantedStore, _key: bytes) -> object:
    while True:
        pass


def leave(_store: PlantedStore, _key: bytes) -> object:
    os._exit(0)


def hog(_store: PlantedStore, _key: bytes) -> object:
    return [bytearray(2**26) for _ in range(10_000)]


def shout(store: PlantedStore, _key: bytes) -> object:
    secret = store._connection.secrets["key"]
    sys.stdout.write(secret)
    sys.stderr.write(secret)
    os.write(1, secret.encode())
    os.write(2, secret.encode())
    raise RuntimeError(secret)


def raw(*parts: bytes, wait_s: float = 0.0) -> Callable[[PlantedStore, bytes], object]:
    """Writes past the host's own code, as a plugin can that looks for the socket."""

    def write(_store: PlantedStore, _key: bytes) -> object:
        for part in parts:
            os.write(OURS, part)
            time.sleep(wait_s)
        return asyncio.sleep(3600)

    return write


def packed(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


def nothing(number: int) -> bytes:
    return packed(b"\x82\xa4type\xa7Nothing\xa2id" + bytes([number]))


def flood(_store: PlantedStore, _key: bytes) -> object:
    try:
        while True:
            os.write(OURS, nothing(100))
    except BlockingIOError:
        return asyncio.sleep(3600)


async def starve(_store: PlantedStore, _key: bytes) -> object:
    await asyncio.to_thread(time.sleep, 3600)
    return None


EVIL: dict[str, Callable[[PlantedStore, bytes], object]] = {
    "hang": hang,
    "stubborn": stubborn,
    "busy": busy,
    "leave": leave,
    "hog": hog,
    "shout": shout,
    "thread": starve,
    "flood": flood,
    "garbage": raw(os.urandom(64)),
    "garbage-frame": raw(packed(b"\xff" * 32)),
    "unknown-field": raw(packed(b"\x83\xa4type\xa7Nothing\xa2id\x01\xa1x\x01")),
    "huge-frame": raw((2**31).to_bytes(4, "big")),
    "wrong-id": raw(nothing(99)),
    "twice": raw(nothing(2), nothing(2)),
    "another-hello": raw(packed(b"\x81\xa4type\xa9NotLoaded")),
    "drip": raw(*[bytes([each]) for each in packed(b"\xff" * 200)], wait_s=0.1),
    "huge-blob": lambda store, _key: store.good(b"x" * 8193),
    "megabytes": lambda store, _key: store.good(b"x" * 2**22),
    "empty-blob": lambda store, _key: store.good(b""),
    "key-itself": lambda store, key: store.good(key),
    "key-within": lambda store, key: store.good(b"ab" + key + b"cd"),
    "undeclared-wrapping": lambda store, _key: store.good(b"x" * 60, Wrapping.RSA_OAEP_256),
    "control-character": lambda store, _key: store.good(b"x" * 60, reference="a\x1b[31m"),
    "secret-reference": lambda store, key: store.good(
        store._aead.encrypt(b"n" * 12, key, None), reference=f"https://{store._connection.secrets['key']}@x"
    ),
    "long-reference": lambda store, _key: store.good(b"x" * 60, reference="a" * 1025),
    "none": lambda _store, _key: None,
    "text": lambda _store, _key: "a blob",
}


def another(code: str) -> Callable[[PlantedStore, bytes], object]:
    def refuse(_store: PlantedStore, _key: bytes) -> object:
        raise Answered(code)

    return refuse


EVIL |= {
    f"says-{code}": another(code) for code in ("gone", "busy", "expired", "made-up", "host-died", "x" * 99)
}


class Plugin:
    def __init__(self, settings: Mapping[str, str]) -> None:
        self.declaration = Declaration(
            name="planted",
            title="Planted",
            kind="byok",
            fields=(),
            permissions=(),
            answers=(
                answer("gone", Outage.REFUSED),
                answer("busy", Outage.NO_ANSWER),
                answer("expired", Outage.DOUBTFUL),
                answer("host-died", Outage.REFUSED),
            ),
            abilities=frozenset({Ability.CONTEXT}),
            wrappings=(Wrapping.AEAD,),
            page="none",
            call_s=float(settings.get("call_s", "2")),
            apart=settings.get("apart") == "yes",
        )

    async def open(self, connection: Connection) -> PlantedStore:
        if connection.answers.get("open") == "hang":
            time.sleep(3600)
        if connection.answers.get("open") == "fail":
            raise RuntimeError(connection.secrets["key"])
        return PlantedStore(connection)


@hookimpl
def openkcm_key_store(settings: Mapping[str, str]) -> Plugin:
    return Plugin(settings)
