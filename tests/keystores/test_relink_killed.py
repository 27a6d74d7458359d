"""A worker that dies at any point of a relink: whoever takes it up ends it in one new version, or in all as it was."""

from __future__ import annotations

from dataclasses import dataclass, replace

import msgspec
import pytest

from openkcm.activation.plan import CHANGE_KEYS, change_keys
from openkcm.activation.told import KeysTold
from openkcm.audit.verbs import AuditVerb
from openkcm.crypto.contract import Applied, Desired, SignedDesired
from openkcm.kernel.db import DB, Transaction
from openkcm.keychain.states import KeyVerb
from openkcm.saga.runner import Runner
from openkcm.saga.step import Given, Made, Step
from openkcm.sdk.refusals import Permanent, Refusal
from tests.control import rows
from tests.keystores.parts import OwnRoots

pytestmark = pytest.mark.integration
STEPS = ("prepare", "mint", "switch", "settle")


class Killed(BaseException):
    """The worker's process is gone; nothing of it runs any more."""


@dataclass
class Dying:
    """A step in whose process a worker dies once: before it does anything, or when all is done but the commit."""

    step: Step
    at: str
    dead: bool = False

    @property
    def name(self) -> str:
        return self.step.name

    @property
    def budget_s(self) -> float:
        return self.step.budget_s

    def _die(self, here: str) -> None:
        if self.at == here and not self.dead:
            self.dead = True
            raise Killed

    async def do(self, given: Given) -> Made:
        self._die("before")
        return await self.step.do(given)

    async def record(self, tx: Transaction, given: Given, made: Made) -> None:
        await self.step.record(tx, given, made)
        self._die("uncommitted")

    async def undo(self, given: Given, made: Made | None) -> None:
        self._die("before undo")
        await self.step.undo(given, made)

    async def record_undo(self, tx: Transaction, given: Given, made: Made | None) -> None:
        await self.step.record_undo(tx, given, made)
        self._die("undo uncommitted")


def dying(own: OwnRoots, name: str, at: str) -> Dying:
    """The worker dies at this point of this step; the next one lives."""
    plan = change_keys(own.keys.means)
    one = Dying(next(step for step in plan.steps if step.name == name), at)
    steps = tuple(one if step.name == name else step for step in plan.steps)
    told = KeysTold(own.keys.deciding)
    own.keys.runner = Runner(
        {CHANGE_KEYS: replace(plan, steps=steps)},
        told,
        clock=own.keys.clock,
        observers={CHANGE_KEYS: told},
    )
    return one


async def dies(own: OwnRoots) -> None:
    before = DB.pool
    try:
        await own.keys.work()
    except Killed:
        DB.pool = before


async def states(own: OwnRoots) -> list[tuple[int, str, str]]:
    return [(key.version, key.state, key.connection) for key in await own.keys.keys() if key.level == "L2"]


@pytest.fixture(autouse=True)
async def configured(own: OwnRoots) -> None:
    await own.keys.edit(
        "insert into key_configurations (tenant, version, kind, in_force) values ('acme', 1, 'csek', true)"
    )


@pytest.mark.parametrize("at", ["before", "uncommitted"])
@pytest.mark.parametrize("step", STEPS)
async def test_wherever_the_worker_dies_one_new_version_is_under_the_root_key(
    own: OwnRoots, step: str, at: str
) -> None:
    message = await own.keys.encrypt(b"before")
    made = await own.good()
    one = dying(own, step, at)
    await own.keys.ask(KeyVerb.RELINK, connection=made)
    await dies(own)
    assert one.dead
    await own.keys.work()
    assert [row["state"] for row in await rows("select state from sagas")] == ["done"]
    assert await states(own) == [(1, "decrypt-only", ""), (2, "active", made)]
    assert await rows("select version, kind, in_force from key_configurations order by version") == [
        {"version": 1, "kind": "csek", "in_force": False},
        {"version": 2, "kind": "hyok", "in_force": True},
    ]
    verbs = [row["verb"] for row in await rows("select verb from audit_events")]
    assert verbs.count(AuditVerb.KEYS_RELINKED.value) == 1
    assert set(own.local.wrapped_by) == {made}
    for region in ("local", "eu-1"):
        assert await own.keys.decrypt(message, region=region) == b"before"


@pytest.mark.parametrize("at", ["before undo", "undo uncommitted"])
@pytest.mark.parametrize("step", STEPS[:3])
async def test_wherever_the_worker_dies_while_it_takes_back_all_is_as_it_was(
    own: OwnRoots, step: str, at: str
) -> None:
    made = await own.good()
    one = dying(own, step, at)
    real = own.eu.apply

    async def apply(item: SignedDesired) -> Applied:
        said = msgspec.json.decode(item.document, type=Desired)
        if any(key.connection == made and key.state == "active" for key in said.keys):
            raise Permanent(Refusal.KEY_UNKNOWN, "It does not hold it.")
        return await real(item)

    own.eu.apply = apply  # type: ignore[method-assign]  # it refuses the switch
    await own.keys.ask(KeyVerb.RELINK, connection=made)
    await dies(own)
    assert one.dead
    own.eu.apply = real  # type: ignore[method-assign]  # as it was
    await own.keys.work()
    assert [row["state"] for row in await rows("select state from sagas")] == ["undone"]
    assert await states(own) == [(1, "active", ""), (2, "decrypt-only", made)]
    assert await rows("select kind from key_configurations where in_force") == [{"kind": "csek"}]
    message = await own.keys.encrypt(b"goes on")
    assert await own.keys.decrypt(message, region="eu-1") == b"goes on"
