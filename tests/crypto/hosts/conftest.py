"""Real hosts with the planted store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from openkcm.catalog.registry import Installed
from openkcm.crypto.hosts.pool import HostLimits, Hosts
from openkcm.crypto.hosts.stores import GuardedStores
from openkcm.kernel.clock import Clock
from openkcm.sdk.key_store import Connection, Context

HERE = Path(__file__).resolve().parent
PLANTED = Installed(name="planted", module="planted_store", distribution="planted", version="1")
SECRET = "5f" * 32
L2 = bytes(range(32))


class House:
    """The hosts of one test and the guards before them."""

    def __init__(self, limits: HostLimits, settings: dict[str, str], clock: Clock | None) -> None:
        self.hosts = Hosts({"planted": settings}, limits, plugins=(PLANTED,), paths=(str(HERE),))
        self.stores = GuardedStores(self.hosts, clock=clock)

    @property
    def pids(self) -> set[int]:
        return {host.pid for host in self.hosts.running}


Make = Callable[..., House]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    async with AsyncExitStack() as opened:

        def made(*, limits: HostLimits | None = None, clock: Clock | None = None, **settings: str) -> House:
            house = House(limits or HostLimits(memory_mib=256), settings, clock)
            opened.push_async_callback(house.stores.aclose)
            return house

        yield made


def connection(name: str = "c1", *, secret: str = SECRET, **answers: str) -> Connection:
    return Connection(id=name, tenant="acme", answers={"n": "1", **answers}, secrets={"key": secret})


def context(key_id: str = "plain") -> Context:
    return Context(tenant="acme", key_id=key_id, region="local")
