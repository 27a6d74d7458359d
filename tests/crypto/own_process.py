"""A region as a process of its own, with a tenant whose root key is in a key management system beside it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
from msgspec.structs import replace

from openkcm.crypto.client import PinnedRegions
from openkcm.crypto.connection import DesiredConnection, DesiredPolicy, SealedSecret, secret_context
from openkcm.crypto.contract import Access, DesiredKey, LinksItem, LinkTold, MintItem, RenewItem, TokenItem
from openkcm.parties.labels import Sealed
from openkcm.parties.sealed import seal
from openkcm.sdk.key_store import Connection
from openkcm.sdk.testing.memory_key_place import MemoryPlace
from openkcm.sdk.testing.memory_kms import MemoryKms
from tests.crypto.processes import RegionProcess
from tests.crypto.world import CALLER, World, keys_of, named

REGION, ID = "local", "c1"
REFUSED = ("key-revoked", "key-suspended", "key-store-refused")


@dataclass
class Control:
    """Control as far as one region needs it: it decides, signs and sends."""

    world: World
    process: RegionProcess
    place: MemoryPlace
    policy: DesiredPolicy = field(default_factory=DesiredPolicy)
    connections: dict[str, Connection] = field(default_factory=dict)
    keys: dict[str, Sequence[DesiredKey]] = field(default_factory=dict)

    @classmethod
    def of(cls, world: World, process: RegionProcess, directory: Path) -> Control:
        return cls(world, process, MemoryPlace(MemoryKms(directory)))

    def __post_init__(self) -> None:
        self.regions = PinnedRegions(self.world.control, self.world.pins, [self.process.region])
        self.region = self.regions.get(REGION)

    async def move(self, process: RegionProcess) -> None:
        """The region was started again."""
        await self.regions.aclose()
        self.process = process
        self.regions = PinnedRegions(self.world.control, self.world.pins, [process.region])
        self.region = self.regions.get(REGION)

    def said(self, tenant: str) -> DesiredConnection:
        given = self.connections[tenant]
        bare = DesiredConnection(
            id=ID, version=1, plugin="memory", answers=dict(given.answers), subject=given.subject
        )
        secrets = tuple(
            SealedSecret(
                region=REGION,
                field=name,
                sealed=seal(
                    value.encode(),
                    self.world.local.pin.sealing,
                    Sealed.CREDENTIAL,
                    *secret_context(bare, region=REGION, tenant=tenant, field=name),
                ),
            )
            for name, value in given.secrets.items()
        )
        return replace(bare, secrets=secrets)

    async def decide(self, tenant: str, keys: Sequence[DesiredKey], access: Access = "active") -> int:
        self.keys[tenant] = keys
        signed = self.world.decide(
            tenant,
            keys=keys,
            regions=(REGION,),
            connections=(self.said(tenant),),
            policy=self.policy,
            access=access,
        )
        return (await self.region.apply(signed)).generation

    async def own(self, tenant: str) -> None:
        """The tenant's keys are in force, under its own root key."""
        self.connections[tenant] = await self.place.connect(tenant)
        generation = await self.decide(tenant, ())
        minted = await self.region.mint(
            MintItem(tenant=tenant, generation=generation, services=("default",), token=f"m-{tenant}")
        )
        generation = await self.decide(tenant, keys_of(minted))
        renewed = await self.region.renew(
            RenewItem(tenant=tenant, generation=generation, services=(), token=f"r-{tenant}", connection=ID)
        )
        new, *services = named(renewed, version=2)
        await self.decide(tenant, [replace(new, connection=ID), *services])

    async def token(self, tenant: str) -> str:
        item = TokenItem(tenant=tenant, caller=CALLER.name, service="default", verbs=("encrypt", "decrypt"))
        return (await self.region.token(item)).token

    async def link(self, tenant: str) -> LinkTold:
        told = await self.region.links(LinksItem())
        return next(link for link in told.links if link.tenant == tenant)


@dataclass
class Application:
    """Whoever uses the tenant's keys over the data door."""

    client: httpx2.AsyncClient
    data: str
    tenant: str
    token: str

    async def encrypt(self, plaintext: bytes = b"kept") -> bytes:
        answer = await self._post("encrypt", plaintext=base64.b64encode(plaintext).decode())
        return base64.b64decode(answer.raise_for_status().json()["message"])

    async def decrypt(self, message: bytes) -> bytes:
        answer = await self._post("decrypt", message=base64.b64encode(message).decode())
        return base64.b64decode(answer.raise_for_status().json()["plaintext"])

    async def refusal(self, message: bytes) -> str:
        """The code of the refusal to decrypt, or empty where it was decrypted."""
        answer = await self._post("decrypt", message=base64.b64encode(message).decode())
        if answer.status_code == 200:
            return ""
        code = str(answer.json()["code"])
        assert answer.status_code == (403 if code in REFUSED else 503), code
        return code

    async def _post(self, verb: str, **body: str) -> httpx2.Response:
        return await self.client.post(
            f"{self.data}/v1/{verb}",
            json={"tenant": self.tenant, "service": "default", **body},
            headers={"Authorization": f"Bearer {self.token}"},
        )
