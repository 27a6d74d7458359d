"""The web process's application on a real database, with the web's own login and a region in memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from litestar import Litestar

from openkcm.activation.means import Deciding
from openkcm.app import Parts, create_app
from openkcm.crypto.contract import CallersItem, CallersTold, LastUse, Token, TokenItem
from openkcm.identity.grant import grant_owner
from openkcm.identity.links import issue
from openkcm.kernel.clock import SetClock
from openkcm.kernel.db import Role, close_database, open_database, transaction
from openkcm.kernel.notify import Listener
from openkcm.parties.identity import Identity, enrol
from openkcm.saga.journal import CHANNEL
from openkcm.sdk.refusals import Refusal, Temporary
from openkcm.sdk.testing.memory_key_store import MemoryPlugin
from openkcm.sdk.testing.memory_kms import MemoryKms
from openkcm.services.ensure import ensure_service
from openkcm.services.register import register_caller
from tests.control import appear
from tests.databases import ModuleDatabases
from tests.keystores.parts import stores

TENANT, OTHER = "tenant-1", "tenant-2"
OWNER = "mara@example.org"
CANARY = "okcm1.canary-token"


class MemoryRegion:
    """Issues tokens, tells of callers, or is down."""

    def __init__(self, name: str, clock: SetClock) -> None:
        self.name = name
        self.down = False
        self.asked: list[TokenItem] = []
        self.last: dict[str, LastUse] = {}
        self._clock = clock

    async def token(self, item: TokenItem) -> Token:
        if self.down:
            raise Temporary(Refusal.REGION_UNAVAILABLE, f"Region {self.name} does not answer.")
        self.asked.append(item)
        ends = self._clock.now() + timedelta(seconds=item.lifetime_s)
        return Token(token=CANARY, expires_at=ends, address=f"http://{self.name}.test")

    async def callers(self, item: CallersItem) -> CallersTold:
        if self.down:
            raise Temporary(Refusal.REGION_UNAVAILABLE, f"Region {self.name} does not answer.")
        last = tuple(self.last[name] for name in item.callers if name in self.last)
        return CallersTold(tenant=item.tenant, address=f"https://{self.name}.test:8081", last=last)


class MemoryRegions:
    """Two regions by name."""

    def __init__(self, clock: SetClock) -> None:
        self.each = {name: MemoryRegion(name, clock) for name in ("north", "south")}

    def names(self) -> Sequence[str]:
        return sorted(self.each)

    def get(self, name: str) -> MemoryRegion:
        return self.each[name]


@cache
def identity_of_control() -> Identity:
    """Control's own keys, the same for the whole run."""
    with TemporaryDirectory() as place:
        return enrol(Path(place) / "identity.json", "control", "control")


def parts_of(
    listener: Listener, regions: MemoryRegions, clock: SetClock, *, without_step_up: bool = True
) -> Parts:
    """What the web process's application works with."""
    return Parts(
        listener=listener,
        regions=regions,  # type: ignore[arg-type]  # tokens and callers alone
        clock=clock,
        deciding=Deciding(
            identity=identity_of_control(),
            clock=clock,
            key_wait_s=30 * 24 * 3600.0,
            without_step_up=without_step_up,
            role=Role.APP,
        ),
        stores=stores(MemoryPlugin(MemoryKms())),
    )


@pytest.fixture
def regions(clock: SetClock) -> MemoryRegions:
    return MemoryRegions(clock)


@pytest.fixture
async def tenants(control: ModuleDatabases, clock: SetClock) -> ModuleDatabases:
    """Two tenants with owners: the first is ready, the second is still being set up."""
    await appear(TENANT, OTHER, clock=clock)
    async with transaction(Role.SYSTEM) as tx:
        await tx.execute("update tenants set creator_issuer = '', creator_username = $1", OWNER)
        await ensure_service(tx, TENANT, "default")
        await register_caller(tx, TENANT, name="home-page", service="default", verbs=("encrypt", "decrypt"))
        for at, region in enumerate(("north", "south")):
            await tx.execute("insert into tenant_regions values ($1, $2, $3)", TENANT, region, at)
        await grant_owner(tx, TENANT, issuer="", username=OWNER, by="test")
        await tx.execute(
            "update tenants set stage = 'ready', protected_at = $2, ready_at = $2, generation = 2 where id = $1",
            TENANT,
            clock.now(),
        )
    return control


@pytest.fixture
async def links(tenants: ModuleDatabases, clock: SetClock) -> dict[str, str]:
    """A way in to each tenant."""
    return {tenant: (await issue(tenant, by="test", clock=clock)).path for tenant in (TENANT, OTHER)}


@pytest.fixture
async def app(
    tenants: ModuleDatabases, links: dict[str, str], regions: MemoryRegions, clock: SetClock
) -> Litestar:
    """From here on the process has the web's login, and nothing of the worker's rights."""
    await close_database()
    await open_database(tenants.web, application="test-web", max_size=4)
    return create_app(parts_of(Listener(tenants.web, CHANNEL), regions, clock), tls=False)
