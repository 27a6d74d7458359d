"""Control takes statements and wraps only as the region that it asked has signed them."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from openkcm.crypto.contract import FORMAT, Accepted, CheckpointItem, MintItem
from openkcm.crypto.covered import covered_statement, covered_wrap
from openkcm.crypto.signed_answers import Signed
from openkcm.crypto.usage.checkpoint import checkpoint
from openkcm.parties.checkpoint import Point
from openkcm.parties.labels import Record
from openkcm.parties.signed import sign
from tests.crypto.plane import Plane, one

pytestmark = pytest.mark.integration

ASKED = MintItem(tenant="acme", generation=1, services=("default",), token="t")


async def test_what_a_region_minted_is_taken_as_it_signed_it(plane: Plane) -> None:
    await plane.begin("acme")
    minted = await plane.local.mint("acme")
    signed = Signed("local", plane.world.pins)
    assert signed.minted(ASKED, minted)
    assert not Signed("eu-1", plane.world.pins).minted(ASKED, minted)
    l2, l3 = minted.records
    statement = replace(l2.statement, commitment="0" * 64)
    assert not signed.minted(ASKED, replace(minted, records=(replace(l2, statement=statement), l3)))
    wrap = replace(l3.wrap, blob=bytes(len(l3.wrap.blob)))
    assert not signed.minted(ASKED, replace(minted, records=(l2, replace(l3, wrap=wrap))))


async def test_a_siblings_signature_is_not_this_regions(plane: Plane) -> None:
    await plane.begin("acme")
    minted = await plane.local.mint("acme")
    l2, l3 = minted.records
    by_eu = sign(plane.world.eu, Record.STATEMENT, FORMAT, *covered_statement(l2.statement))
    other = replace(l2, statement=replace(l2.statement, signature=by_eu))
    assert not Signed("local", plane.world.pins).minted(ASKED, replace(minted, records=(other, l3)))


async def test_an_accepted_wrap_is_the_receivers_own(plane: Plane) -> None:
    await plane.begin("acme")
    minted = await plane.local.mint("acme")
    item = await plane.relay("acme", minted)
    accepted = await plane.eu.accept(item)
    signed = Signed("eu-1", plane.world.pins)
    assert signed.accepted(item, accepted)
    assert not signed.accepted(item, replace(accepted, tenant="other"))
    senders = minted.records[0].wrap
    assert not signed.accepted(item, Accepted(tenant="acme", wrap=senders))
    claimed = replace(senders, holder="eu-1")
    claimed = replace(claimed, signature=sign(plane.world.local, Record.WRAP, FORMAT, *covered_wrap(claimed)))
    assert not signed.accepted(item, Accepted(tenant="acme", wrap=claimed))


async def test_a_checkpoint_is_this_regions_of_this_tenant_and_of_the_log_that_it_was_shown(
    plane: Plane,
) -> None:
    await plane.begin("acme")
    shown = Point(number=7, hash="ab" * 32)
    item = CheckpointItem(tenant="acme", log=shown)
    given = one(await plane.local.run(checkpoint, item))
    signed = Signed("local", plane.world.pins)
    assert signed.checkpoint(item, given)
    assert not Signed("eu-1", plane.world.pins).checkpoint(item, given)
    assert not signed.checkpoint(replace(item, tenant="other"), given)
    assert not signed.checkpoint(replace(item, log=Point(number=8, hash="ab" * 32)), given)
    assert not signed.checkpoint(item, replace(given, document=given.document + b" "))
