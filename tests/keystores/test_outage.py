"""What a tenant wants while its key store does not answer: one decision, kept whatever root key comes next."""

from __future__ import annotations

import pytest

from openkcm.activation.change import change_outage
from openkcm.catalog.registry import KeyStores
from openkcm.crypto.contract import Choice, DesiredPolicy, worst_case
from openkcm.keychain.states import KeyVerb
from openkcm.keystores.view import shown_key_stores
from openkcm.sdk.refusals import Permanent, Refusal
from tests.activation.parts import TENANT
from tests.control import rows
from tests.keystores.parts import OwnRoots

pytestmark = pytest.mark.integration
CLOSED = DesiredPolicy(choice=Choice.FAIL_CLOSED, governance_s=300.0)
LEASE = DesiredPolicy(choice=Choice.LEASE, outage_s=7200.0, doubtful_s=60.0)


async def test_a_choice_is_one_decision_and_the_same_again_is_none(own: OwnRoots) -> None:
    asked = own.keys.asked(KeyVerb.OUTAGE, request="choice")
    before = (await own.keys.decided()).generation
    answer = await change_outage(own.keys.deciding, asked, CLOSED)
    await own.keys.work()
    assert (answer.changed, answer.generation) == (True, before + 1)
    assert (await own.keys.decided()).desired.policy == CLOSED
    assert (await change_outage(own.keys.deciding, asked, CLOSED)).repeated
    again = await change_outage(own.keys.deciding, own.keys.asked(KeyVerb.OUTAGE), CLOSED)
    assert (again.changed, again.generation) == (False, before + 1)
    (entry,) = await rows("select actor from audit_events where verb = 'keystores:outage:choose'")
    assert entry["actor"] == "operator:ops"


async def test_what_was_chosen_stays_when_another_root_key_takes_over(own: OwnRoots) -> None:
    await change_outage(own.keys.deciding, own.keys.asked(KeyVerb.OUTAGE), LEASE)
    await own.keys.do(KeyVerb.RELINK, connection=await own.good())
    assert (await own.keys.decided()).desired.policy == LEASE


@pytest.mark.parametrize(
    "wrong",
    [
        DesiredPolicy(outage_s=90_000.0),
        DesiredPolicy(choice=Choice.FAIL_CLOSED, outage_s=60.0),
        DesiredPolicy(governance_s=7.0),
        DesiredPolicy(decrypting_s=1.0),
    ],
)
async def test_a_window_out_of_its_range_is_refused_and_nothing_is_decided(
    own: OwnRoots, wrong: DesiredPolicy
) -> None:
    before = (await own.keys.decided()).generation
    with pytest.raises(Permanent) as refused:
        await change_outage(own.keys.deciding, own.keys.asked(KeyVerb.OUTAGE), wrong)
    assert refused.value.refusal is Refusal.BAD_REQUEST
    assert (await own.keys.decided()).generation == before
    assert await rows("select from outage_choices") == []


async def test_the_page_says_who_chose_and_what_it_comes_to_at_worst(own: OwnRoots) -> None:
    default = (await shown_key_stores(TENANT, KeyStores())).outage
    assert (default.set_by, default.policy) == ("", DesiredPolicy())
    await change_outage(own.keys.deciding, own.keys.asked(KeyVerb.OUTAGE), LEASE)
    chosen = (await shown_key_stores(TENANT, KeyStores())).outage
    assert (chosen.set_by, chosen.policy, chosen.window_s) == ("operator:ops", LEASE, 7200.0)
    assert chosen.worst == worst_case(LEASE.policy())
    assert chosen.worst.doubtful_s == 60.0
