"""The region's root as a place of the kit for key stores: erase secrets in memory, and a database that can go away."""

from __future__ import annotations

import os
from typing import ClassVar

from openkcm.crypto.rootfile import Root
from openkcm.crypto.software_store import SoftwarePlugin
from openkcm.sdk.conformance.key_place import KeyPlace
from openkcm.sdk.key_store import Connection, KeyStorePlugin
from openkcm.sdk.refusals import Permanent, Refusal, Temporary

REGION = "local"


class Secrets:
    def __init__(self) -> None:
        self.held: dict[tuple[str, bytes], bytes] = {}
        self.erased: set[tuple[str, bytes]] = set()
        self.away = False

    async def made(self, tenant: str, key_id: bytes) -> bytes:
        return await self.kept(tenant, key_id) or self.held.setdefault((tenant, key_id), os.urandom(32))

    async def kept(self, tenant: str, key_id: bytes) -> bytes | None:
        if self.away:
            raise Temporary(Refusal.DATABASE_UNAVAILABLE, "The database does not answer.")
        if (tenant, key_id) in self.erased:
            raise Permanent(Refusal.KEY_DESTROYED, "The key is destroyed.")
        return self.held.get((tenant, key_id))

    def erase(self, tenant: str, key_id: bytes) -> None:
        self.held.pop((tenant, key_id), None)
        self.erased.add((tenant, key_id))


class SoftwarePlace(KeyPlace):
    cannot: ClassVar = {
        "mend:key-erased": "an erase secret that is deleted does not come back",
        "unknown_answer": "the root is in memory, and nobody answers in its place",
        "garbage": "the root is in memory, and nobody answers in its place",
        "grant_too_much": "whoever has the root has all of it",
    }
    region = REGION

    def __init__(self) -> None:
        self.versions = {1: os.urandom(32), 2: os.urandom(32)}
        self.root = Root({1: self.versions[1]}, region=REGION)
        self.secrets = Secrets()

    @property
    def plugin(self) -> KeyStorePlugin:
        return SoftwarePlugin(lambda: self.root, self.secrets)

    async def connect(self, tenant: str) -> Connection:
        return Connection(id=f"root-{tenant}", tenant=tenant, answers={})

    async def cause(self, code: str, connection: Connection) -> None:
        if code == "key-erased":
            key_id = bytes.fromhex(self.context(connection).key_id)
            self.secrets.erase(connection.tenant, key_id)
        elif code == "secrets-unavailable":
            self.secrets.away = True
        elif code == "root-version-missing":
            self.root = Root({2: self.versions[2]}, region=REGION)

    async def mend(self, connection: Connection) -> None:
        self.secrets.away = False
        self.root = Root({1: self.versions[1]}, region=REGION)

    async def snapshot(self) -> object:
        return dict(self.secrets.held), self.root.fingerprints

    async def rotate(self, connection: Connection) -> None:
        self.root = Root(self.versions, region=REGION)
