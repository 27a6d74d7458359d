"""The use audit of running processes: what callers did through the data door is what control is told of it."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import httpx2
import pytest
from msgspec.structs import replace

from openkcm.crypto.client import PinnedRegions
from openkcm.crypto.contract import DesiredCaller, MintItem, TokenItem, UsesItem
from openkcm.embedded.roles import crypto_database
from openkcm.parties.checkpoint import Checkpoint, SignedCheckpoint, read_checkpoint
from openkcm.uses.export import checkpoints_of, use_rows
from openkcm.uses.prover import Proof, Prover
from openkcm.uses.rows import count_of
from tests.crypto.processes import RegionProcess, region_settings, start_region
from tests.crypto.world import CALLER, World, agreement, keys_of
from tests.databases import ModuleDatabases

pytestmark = pytest.mark.integration

SECRETS = (b"PLAINTEXT-CANARY-81", b"AAD-CANARY-82")
PERIOD_S = 10.0


@dataclass
class Site:
    """Two processes of one region, and a caller's ways to them."""

    world: World
    databases: ModuleDatabases
    processes: list[RegionProcess]
    regions: PinnedRegions
    web: httpx2.AsyncClient = field(default_factory=lambda: httpx2.AsyncClient(trust_env=False))
    done: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    tokens: dict[str, str] = field(default_factory=dict)

    async def protect(self, tenant: str) -> None:
        local = self.regions.get("local")
        callers = (CALLER, DesiredCaller(name="till", service="default", verbs=("encrypt",)))
        await local.apply(self.world.decide(tenant, regions=("local",), callers=callers))
        minted = await local.mint(MintItem(tenant=tenant, generation=1, services=("default",), token=tenant))
        active = self.world.decide(tenant, regions=("local",), keys=keys_of(minted), callers=callers)
        await local.apply(active)
        for caller in callers:
            item = TokenItem(tenant=tenant, caller=caller.name, service="default", verbs=caller.verbs)
            self.tokens[f"{tenant}/{caller.name}"] = (await local.token(item)).token

    async def call(
        self, verb: str, caller: str = "acme/shop", door: int = 0, **fields: bytes
    ) -> dict[str, str]:
        """One call through a process's data door; what came of it is counted here as it should be there."""
        tenant, name = caller.split("/")
        body = {key: b64encode(value).decode() for key, value in fields.items()}
        answer = await self.web.post(
            f"{self.processes[door].data}/v1/{verb}",
            json={"tenant": tenant, "service": "default", **body},
            headers={"Authorization": f"Bearer {self.tokens[caller]}"},
        )
        told = answer.json()
        outcome = "done" if answer.status_code == 200 else str(told["code"])
        self.done[tenant, name, verb, outcome] += 1
        return {key: str(value) for key, value in told.items()}

    async def told(self, tenant: str) -> Counter[tuple[str, str, str, str]]:
        """The same as the region tells it."""
        now = datetime.now(UTC)
        item = UsesItem(
            tenant=tenant, since=now - timedelta(hours=1), until=now + timedelta(hours=1), limit=300
        )
        found: Counter[tuple[str, str, str, str]] = Counter()
        for entry in (await self.regions.get("local").uses(item)).entries:
            name = (tenant, entry.actor.removeprefix("caller:"), entry.verb, entry.outcome)
            found[name] += count_of(entry.detail)
        return found

    async def until_told(self, tenant: str) -> None:
        """What was done is told, to the last one."""
        wanted = Counter({name: count for name, count in self.done.items() if name[0] == tenant})
        async with asyncio.timeout(2 * PERIOD_S + 5):
            while await self.told(tenant) != wanted:
                await asyncio.sleep(0.3)

    def read(self, signed: SignedCheckpoint, tenant: str) -> Checkpoint:
        return read_checkpoint(self.world.pins, signed, tenant=tenant, now=datetime.now(UTC))

    async def proof(self, tenant: str = "acme") -> Proof:
        prover = Prover(self.read)
        signed = await checkpoints_of(self.regions, tenant, ["local"])
        async for row in use_rows(self.regions, tenant, signed, at=datetime.now(UTC)):
            prover.take(row)
        return prover.done()

    async def edit(self, sql: str) -> list[asyncpg.Record]:
        owner = await asyncpg.connect(self.databases.crypto_owner("local"))
        try:
            return list(await owner.fetch(sql))
        finally:
            await owner.close()


@pytest.fixture
async def site(databases: ModuleDatabases, world: World, tmp_path: Path) -> AsyncIterator[Site]:
    owner = await asyncpg.connect(databases.crypto_owner("local"))
    await owner.execute(
        "truncate region, roots, keys, wraps, applied, mint_tokens, offers, journal, use_entries cascade"
    )
    await owner.close()
    first = region_settings(tmp_path, "local", databases.crypto("local"))
    second = replace(
        region_settings(tmp_path, "local", databases.crypto("local")),
        state_directory=str(tmp_path / "second"),
    )
    processes = [start_region(one, world.parties("local")) for one in (first, second)]
    regions = PinnedRegions(world.control, world.pins, [processes[0].region])
    made = Site(world, databases, processes, regions)
    try:
        assert (await regions.get("local").agree(agreement(world, "local"))).same
        for tenant in ("acme", "blue"):
            await made.protect(tenant)
        yield made
    finally:
        await made.web.aclose()
        await regions.aclose()
        for process in processes:
            if process.process.poll() is None:
                process.stop()
            assert process.process.stdout is not None
            process.process.stdout.close()


async def use_both(site: Site) -> None:
    """Two callers of two tenants through both processes: done, refused, and refused again and again."""
    await asyncio.sleep(1.5)  # the second process has heard of what the first applied
    told: dict[str, str] = {}
    for number in range(30):
        told = await site.call("encrypt", door=number % 2, plaintext=SECRETS[0], aad=SECRETS[1])
        await site.call("encrypt", "acme/till", plaintext=SECRETS[0])
        await site.call("encrypt", "blue/shop", door=1, plaintext=SECRETS[0])
    message = b64decode(told["message"])
    for _ in range(4):
        assert "plaintext" in await site.call("decrypt", message=message, aad=SECRETS[1])
    for _ in range(14):
        await site.call("decrypt", message=message, aad=b"other")
        await site.call("decrypt", "acme/till", message=message, aad=SECRETS[1])


@pytest.mark.timeout(180)
async def test_what_callers_did_is_what_is_told_and_nothing_of_what_they_sent_is_written_down(
    site: Site,
) -> None:
    await use_both(site)
    await site.until_told("acme")
    await site.until_told("blue")
    assert site.done["acme", "shop", "decrypt", "ciphertext-invalid"] == 14
    assert site.done["acme", "till", "decrypt", "not-permitted"] == 14
    # An unknown token is nobody's: it is in the metrics alone.
    answer = await site.web.post(
        f"{site.processes[0].data}/v1/encrypt", json={}, headers={"Authorization": "Bearer okcm1.x.y"}
    )
    assert answer.status_code == 401
    single = [
        row
        for row in await site.edit("select * from use_entries where outcome = 'ciphertext-invalid'")
        if "at" in json.loads(row["detail"])
    ]
    assert len(single) == 10
    proof = await site.proof()
    assert proof.whole
    assert proof.remarks == []
    acme = {chain.chain: chain.uses for chain in proof.chains if chain.chain.startswith("acme/")}
    assert len(acme) == 2, "each process has a chain of its own"
    assert sum(acme.values()) == sum(count for name, count in site.done.items() if name[0] == "acme")
    dump = str(await site.edit("select * from use_entries")) + str(await site.edit("select * from use_heads"))
    dump += "".join(
        bytes(row["detail"]).decode() for row in await site.edit("select detail from use_entries")
    )
    for secret in (*SECRETS, *(token.encode() for token in site.tokens.values())):
        assert secret.decode() not in dump
        assert b64encode(secret).decode() not in dump
        assert secret.hex() not in dump


@pytest.mark.timeout(180)
async def test_a_kill_loses_the_open_period_alone_and_the_proof_says_so(site: Site) -> None:
    for _ in range(5):
        await site.call("encrypt", plaintext=b"x")
    await site.until_told("acme")
    kept = dict(site.done)
    for _ in range(7):
        await site.call("encrypt", plaintext=b"x")
    victim = site.processes[0]
    victim.kill()
    site.processes[0] = start_region(victim.settings, site.world.parties("local"))
    assert (await site.regions.get("local").agree(agreement(site.world, "local"))) is not None
    site.done = Counter(kept)
    assert await site.told("acme") == site.done
    proof = await site.proof()
    assert proof.whole
    (said,) = proof.remarks
    assert "ended without its last entries between" in said
    assert site.processes[0].stop() == 0
    verbs = [
        row["verb"] for row in await site.edit("select verb from use_entries where tenant = '' order by at")
    ]
    assert verbs == ["start", "start", "start", "stop"]


@pytest.mark.timeout(180)
async def test_a_database_that_is_away_for_half_a_minute_loses_nothing(site: Site) -> None:
    await site.call("encrypt", plaintext=b"x")  # its key is in memory from here on
    superuser = await asyncpg.connect(site.databases.superuser("cmk"))
    name = site.databases.names[crypto_database("local")]
    try:
        await superuser.execute(f'alter database "{name}" connection limit 0')
        await superuser.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1", name
        )
        ends = asyncio.get_running_loop().time() + 31
        while asyncio.get_running_loop().time() < ends:
            await site.call("encrypt", plaintext=b"x")
            await asyncio.sleep(0.5)
    finally:
        await superuser.execute(f'alter database "{name}" connection limit -1')
        await superuser.close()
    await site.until_told("acme")
    assert site.done["acme", "shop", "encrypt", "done"] > 40
    assert (await site.proof()).whole
