"""Two regions whose tenant has a root key of its own, in a key management system that hosts reach through a folder."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from msgspec.structs import replace

from openkcm.catalog.registry import Installed
from openkcm.crypto.connection import DesiredConnection, DesiredPolicy, SealedSecret, secret_context
from openkcm.crypto.contract import DesiredKey, Minted, RenewItem
from openkcm.crypto.hosts.pool import HostLimits, Hosts
from openkcm.crypto.hosts.stores import GuardedStores
from openkcm.crypto.keep_watch import KeyWatch
from openkcm.crypto.renew import renew
from openkcm.crypto.windows import Heard
from openkcm.kernel.db import DB
from openkcm.parties.labels import Sealed
from openkcm.parties.sealed import seal
from openkcm.sdk.key_store import Connection
from openkcm.sdk.refusals import Refusal, Refused
from openkcm.sdk.testing.memory_key_place import MemoryPlace
from openkcm.sdk.testing.memory_kms import MemoryKms
from tests.crypto.plane import Inside, Plane, one
from tests.crypto.world import keys_of, named

PLUGIN = "keystore-memory"
MEMORY = Installed(
    name=PLUGIN, module="openkcm.sdk.testing.memory_key_store", distribution="openkcm", version="1"
)
ID = "c1"


@dataclass
class OwnRoot:
    """A tenant's own key with its connection, and the regions' guards before it."""

    plane: Plane
    directory: Path
    place: MemoryPlace = field(init=False)
    connections: dict[str, Connection] = field(default_factory=dict)
    watches: dict[str, KeyWatch] = field(default_factory=dict)
    keys: dict[str, list[DesiredKey]] = field(default_factory=dict)
    policy: DesiredPolicy = field(default_factory=DesiredPolicy)

    def __post_init__(self) -> None:
        self.place = MemoryPlace(MemoryKms(self.directory))

    @property
    def regions(self) -> tuple[Inside, Inside]:
        return self.plane.local, self.plane.eu

    def stores(self) -> GuardedStores:
        settings = {"directory": str(self.directory), "host_writes": str(self.directory), "deadline_s": "0.5"}
        hosts = Hosts({PLUGIN: settings}, HostLimits(memory_mib=256), plugins=(MEMORY,))
        return GuardedStores(hosts, clock=self.plane.clock)

    async def open(self, region: Inside) -> None:
        """The region's process starts, with hosts and a watch of its own."""
        await region.stores.aclose()
        region.stores = self.stores()
        await region.open()
        roots = region.here.roots
        assert region.place is not None
        self.watches[region.name] = KeyWatch(
            roots,
            region.here.root,
            roots.l1.clocks,
            process=region.place.name,
            calls_per_min=60_000,
        )

    async def close(self) -> None:
        for region in self.regions:
            DB.pool = region.pool
            await region.here.roots.aclose()
            await region.stores.aclose()

    async def connect(self, tenant: str) -> None:
        self.connections[tenant] = await self.place.connect(tenant)

    def said(self, tenant: str, **changes: object) -> DesiredConnection:
        """The tenant's connection as a document says it, its password sealed to each region."""
        given = self.connections[tenant]
        bare = replace(
            DesiredConnection(
                id=ID, version=1, plugin="memory", answers=dict(given.answers), subject=given.subject
            ),
            **changes,
        )
        secrets = tuple(
            SealedSecret(
                region=region.name,
                field=name,
                sealed=seal(
                    value.encode(),
                    region.identity.pin.sealing,
                    Sealed.CREDENTIAL,
                    *secret_context(bare, region=region.name, tenant=tenant, field=name),
                ),
            )
            for region in self.regions
            for name, value in given.secrets.items()
        )
        return replace(bare, secrets=secrets)

    async def decide(self, tenant: str, keys: Sequence[DesiredKey], **changes: object) -> None:
        """The next document, with the connection, is in force in both regions."""
        self.keys[tenant] = list(keys)
        signed = self.plane.world.decide(
            tenant,
            keys=keys,
            connections=(self.said(tenant),) if tenant in self.connections else (),
            policy=self.policy,
            **changes,  # type: ignore[arg-type]  # as World.decide has them
        )
        for region in self.regions:
            await region.apply(signed)

    async def relink(self, tenant: str, minted: Minted, *, version: int = 2) -> Minted:
        """A new tenant key under the tenant's own root key is in force; the service keys stay as they are."""
        await self.decide(tenant, keys_of(minted))
        generation = self.plane.local.here.state.view(tenant).mark.generation
        item = RenewItem(
            tenant=tenant, generation=generation, services=(), token=f"relink-{tenant}", connection=ID
        )
        renewed = one(await self.plane.local.run(renew, item))
        given = await self.plane.relay(tenant, renewed, generation=generation)
        await self.plane.eu.accept(replace(given, connection=ID))
        old = replace(keys_of(minted)[0], state="decrypt-only")
        new, *services = named(renewed, version=version)
        await self.decide(tenant, [old, replace(new, connection=ID), *services])
        return renewed

    async def own(self, tenant: str) -> Minted:
        """The tenant is protected, and then linked to its own root key."""
        minted = await self.plane.protect(tenant)
        await self.connect(tenant)
        await self.relink(tenant, minted)
        return minted

    def l2(self, tenant: str = "acme") -> bytes:
        """The id of the tenant key in force."""
        return self.plane.local.here.state.view(tenant).active_l2()

    def answered(self) -> None:
        """The root key of ``acme`` has answered just now, and a lease of it is due."""
        here = self.plane.local.here
        heard = Heard(key_id=self.l2().hex(), tenant="acme", identity="i")
        self.watches["local"].heard(heard, here.roots.l1.clocks.now())

    async def asks(self, region: Inside, *, after_s: float = 20.0, turns: int = 1) -> None:
        """Time goes by, and the region's watch asks whoever is due; its siblings and its disk have it."""
        DB.pool = region.pool
        watch = self.watches[region.name]
        await watch.share()
        for _ in range(turns):
            self.plane.clock.advance(after_s)
            await region.refresh()
            await watch.share()
            await watch.prober.step()
        await watch.share()
        await watch.write()


async def refused(call: Awaitable[object]) -> Refusal | None:
    """Why it was refused, if it was."""
    try:
        await call
    except Refused as why:
        return why.refusal
    return None


def secrets(region: Inside) -> list[Path]:
    """The lease secrets on the region's disk."""
    return list((Path(region.settings.state_directory) / "leases").glob("*.secret"))
