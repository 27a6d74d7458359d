"""A region as a process of its own whose data door has TLS, with tenants whose callers come by certificate or token."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
from msgspec.structs import replace

from openkcm.crypto.client import PinnedRegions
from openkcm.crypto.contract import DesiredCaller, DesiredKey, MintItem
from openkcm.crypto.data.wire import TokenAnswer
from openkcm.crypto.settings import CryptoSettings
from tests.crypto.callers.pki import Authority, client_context
from tests.crypto.processes import RegionProcess
from tests.crypto.world import World, agreement, keys_of

REGION, HOST = "local", "region.example"


def with_tls(settings: CryptoSettings, directory: Path, door: Authority) -> CryptoSettings:
    """The same, with TLS at the data door for its own name and each tenant's, and issuers on this machine allowed."""
    certificate, key = door.issue(HOST, f"*.{HOST}").files(directory, "door")
    port = settings.data_bind.rpartition(":")[2]
    return replace(
        settings,
        data_address=f"https://{HOST}:{port}",
        data_certificate=str(certificate),
        data_key=str(key),
        allowed_networks=("127.0.0.0/8",),
    )


@dataclass
class Running:
    """A region that runs, with what control has decided for it."""

    world: World
    process: RegionProcess
    door: Authority
    keys: dict[str, Sequence[DesiredKey]] = field(default_factory=dict)
    agreed: bool = False


class Applications:
    """Control as far as one region needs it, and the applications of its tenants."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.world, self.process, self.door = running.world, running.process, running.door
        self.keys = running.keys
        self.regions = PinnedRegions(self.world.control, self.world.pins, [self.process.region])
        self.region = self.regions.get(REGION)

    @property
    def port(self) -> int:
        return int(self.process.settings.data_bind.rpartition(":")[2])

    async def begin(self) -> None:
        if not self.running.agreed:
            await self.region.agree(agreement(self.world, REGION))
            self.running.agreed = True

    async def register(self, tenant: str, *callers: DesiredCaller) -> None:
        """These are the tenant's callers from now on; its keys are in force."""
        if tenant not in self.keys:
            await self._decide(tenant, (), ())
            item = MintItem(tenant=tenant, generation=1, services=("default",), token=f"m-{tenant}")
            self.keys[tenant] = keys_of(await self.region.mint(item))
        await self._decide(tenant, self.keys[tenant], callers)

    async def _decide(
        self, tenant: str, keys: Sequence[DesiredKey], callers: Sequence[DesiredCaller]
    ) -> None:
        await self.region.apply(
            self.world.decide(tenant, keys=keys, regions=(REGION,), callers=tuple(callers))
        )

    @asynccontextmanager
    async def dial(
        self, host: str, shown: tuple[Path, Path] | None = None, *, context: ssl.SSLContext | None = None
    ) -> AsyncIterator[Application]:
        """An application that comes to this host name, with this certificate."""
        context = context or client_context(self.door, shown)
        async with httpx2.AsyncClient(verify=context, timeout=10, trust_env=False) as client:
            yield Application(client, host, self.port)


@dataclass
class Application:
    """One that dials the region on this machine by the name of its door."""

    client: httpx2.AsyncClient
    host: str
    port: int

    async def post(self, path: str, body: object, **headers: str) -> httpx2.Response:
        return await self.client.post(
            f"https://127.0.0.1:{self.port}{path}",
            json=body,
            headers={"Host": f"{self.host}:{self.port}", **headers},
            extensions={"sni_hostname": self.host},
        )

    async def exchange(self, tenant: str, caller: str = "shop", **changes: object) -> httpx2.Response:
        body = {"tenant": tenant, "service": "default", "caller": caller, "verbs": ["encrypt"]} | changes
        return await self.post("/v1/token", body)

    async def token(self, tenant: str, caller: str = "shop", **changes: object) -> TokenAnswer:
        answer = await self.exchange(tenant, caller, **changes)
        assert answer.status_code == 200, answer.text
        return TokenAnswer(**answer.json())

    async def encrypt(self, tenant: str, token: str) -> httpx2.Response:
        body = {"tenant": tenant, "service": "default", "plaintext": "YQ=="}
        return await self.post("/v1/encrypt", body, Authorization=f"Bearer {token}")
