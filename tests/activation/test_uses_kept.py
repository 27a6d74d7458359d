"""Checkpoints in control's own log: what was written anew, in control or in a region, contradicts them."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import asyncpg
import pytest

from openkcm.audit.record import seal
from openkcm.crypto.contract import SignedCheckpoint
from openkcm.crypto.usage.ledger import Ledger
from openkcm.crypto.uses import Use
from openkcm.kernel.db import DB
from openkcm.parties.checkpoint import Checkpoint, read_checkpoint
from openkcm.uses.keep import Checkpoints
from openkcm.uses.stored import LogProof, prove_log, prove_uses
from tests.activation.parts import TENANT, Keys
from tests.control import rows

pytestmark = pytest.mark.integration

_KEPT = "select number, object from audit_events where chain = $1 and verb = 'uses:checkpoint:keep' order by number"


class Kept:
    """Control that keeps checkpoints, and the ledger of ``local``."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        self.checkpoints = Checkpoints(keys.regions)
        self.ledger = Ledger(keys.local.inside.here, process="p1", keep_days=400)

    def read(self, signed: SignedCheckpoint, tenant: str) -> Checkpoint:
        return read_checkpoint(self.keys.means.pins, signed, tenant=tenant, now=datetime.now(UTC))

    async def use(self, count: int) -> None:
        """A caller has encrypted so often in ``local``, and that is written down."""
        before, DB.pool = DB.pool, self.keys.local.inside.pool
        try:
            self.keys.local.inside.here.uses.note(
                Use(TENANT, "home", "default", b"k" * 16, "encrypt", "done"), count
            )
            assert await self.ledger.write()
        finally:
            DB.pool = before

    async def round(self) -> list[str]:
        """Which regions' checkpoints were new, and are kept. One by one: the regions share this process's database."""
        return [name for name in ("local", "eu-1") if await self.checkpoints.keep_of(name, TENANT)]

    async def kept(self) -> list[str]:
        """The regions of the checkpoints in the log, in order."""
        return [str(row["object"]) for row in await rows(_KEPT, TENANT)]

    async def log(self) -> LogProof:
        return await prove_log(TENANT, self.read)

    async def wrong_uses(self) -> list[str]:
        log = await self.log()
        proof = await prove_uses(
            self.keys.regions, TENANT, "local", log.kept, self.read, at=datetime.now(UTC)
        )
        return [*proof.wrong, *(chain.wrong for chain in proof.chains if chain.wrong)]


@pytest.fixture
async def kept(keys: Keys) -> Kept:
    made = Kept(keys)
    await made.use(3)
    assert await made.round() == ["local", "eu-1"]
    return made


async def test_a_checkpoint_of_each_region_is_kept_and_one_that_says_no_more_is_not(kept: Kept) -> None:
    assert await kept.kept() == ["local", "eu-1"]
    assert await kept.round() == []
    await kept.use(1)
    assert await kept.round() == ["local"]
    assert await kept.kept() == ["local", "eu-1", "local"]
    log = await kept.log()
    assert log.wrong == ""
    assert 0 < log.signed < log.number
    assert await kept.wrong_uses() == []


async def test_a_log_that_was_written_anew_as_a_whole_contradicts_what_regions_signed(kept: Kept) -> None:
    """Every hash and the head are right: only the regions' words are not of this log."""
    connection = await asyncpg.connect(kept.keys.owner_dsn)
    previous = b""
    try:
        for row in await connection.fetch(
            "select * from audit_events where chain = $1 order by number", TENANT
        ):
            actor = "operator:nobody" if row["number"] == 1 else row["actor"]
            fields = (actor, row["verb"], row["object"], row["outcome"], row["detail"])
            previous = seal(previous, TENANT, row["number"], row["at"], *fields)
            await connection.execute(
                "update audit_events set actor = $1, hash = $2 where chain = $3 and number = $4",
                *(actor, previous, TENANT, row["number"]),
            )
        await connection.execute("update audit_heads set hash = $1 where chain = $2", previous, TENANT)
    finally:
        await connection.close()
    assert "is another than an earlier checkpoint signed" in (await kept.log()).wrong


async def test_a_region_that_was_set_back_and_went_on_contradicts_what_it_signed(kept: Kept) -> None:
    """Its rows, head and code are its own, of an earlier time, with other uses after it."""
    inside = kept.keys.local.inside
    before = await inside.edit("select * from use_heads where tenant = $1", TENANT)
    await kept.use(5)
    assert await kept.round() == ["local"]
    await inside.edit("delete from use_entries where tenant = $1 and number = 2", TENANT)
    await inside.edit(
        "update use_heads set number = 1, hash = $1, mac = $2 where tenant = $3",
        *(before[0]["hash"], before[0]["mac"], TENANT),
    )
    await kept.use(6)
    assert await kept.wrong_uses() == ["entry 2 is another than an earlier checkpoint signed"]


async def test_a_checkpoint_that_nobody_signed_is_not_believed(kept: Kept) -> None:
    connection = await asyncpg.connect(kept.keys.owner_dsn)
    try:
        (row,) = await connection.fetch(
            "select number, detail from audit_events where object = 'local' and verb = 'uses:checkpoint:keep'"
        )
        told = json.loads(row["detail"])
        told["checkpoint"]["signature"]["sig"] = "A" * 86 + "=="
        await connection.execute(
            "update audit_events set detail = $1 where chain = $2 and number = $3",
            *(json.dumps(told).encode(), TENANT, row["number"]),
        )
    finally:
        await connection.close()
    assert "is not believed" in (await kept.log()).wrong
