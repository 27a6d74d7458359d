"""Minting: the same token gets the same keys, whoever asks, how often, and whatever was cut short."""

from __future__ import annotations

import asyncio
from hashlib import sha256

import pytest
from msgspec.structs import replace

from openkcm.crypto.applied import AppliedState
from openkcm.crypto.apply import apply
from openkcm.crypto.contract import FORMAT, MintItem, document_digest
from openkcm.crypto.covered import covered_statement, covered_wrap
from openkcm.crypto.mint import mint
from openkcm.crypto.outcomes import answer
from openkcm.parties.labels import Record
from openkcm.parties.signed import verify
from openkcm.sdk.refusals import Permanent, Refusal
from tests.crypto.plane import Plane
from tests.crypto.refusing import refused
from tests.crypto.world import keys_of

pytestmark = pytest.mark.integration


def item(tenant: str = "acme", token: str = "t") -> MintItem:
    return MintItem(tenant=tenant, generation=1, services=("default", "files"), token=token)


async def test_what_is_minted_is_signed_by_the_region_and_committed_to(plane: Plane) -> None:
    await plane.begin("acme")
    (minted,) = await plane.local.run(mint, item())
    assert not isinstance(minted, Exception)
    assert [(one.statement.level, one.statement.service) for one in minted.records] == [
        ("L2", ""),
        ("L3", "default"),
        ("L3", "files"),
    ]
    for one in minted.records:
        for signature, kind, covered in (
            (one.statement.signature, Record.STATEMENT, covered_statement(one.statement)),
            (one.wrap.signature, Record.WRAP, covered_wrap(one.wrap)),
        ):
            verify(plane.world.pins, signature, kind, FORMAT, *covered, now=plane.clock.now(), signer="local")
    holders = {(one.wrap.holder, one.wrap.parent) for one in minted.records}
    assert holders == {("local", "root"), ("", minted.records[0].statement.key_id)}


async def test_the_same_token_gets_the_same_keys(plane: Plane) -> None:
    await plane.begin("acme")
    first = await plane.local.mint("acme")
    await plane.local.open()
    assert await plane.local.mint("acme") == first
    assert await plane.local.mint("acme", token="other") != first


async def test_calls_that_race_for_a_token_have_one_winner(plane: Plane) -> None:
    await plane.begin("acme")
    done = await asyncio.gather(*(plane.local.run(mint, item()) for _ in range(6)))
    assert all(one == done[0] for one in done)
    assert len(await plane.local.edit("select key_id from keys")) == 3
    assert len(await plane.local.edit("select key_id from erase_secrets")) == 1


async def test_a_token_twice_in_one_call_gets_the_same_keys(plane: Plane) -> None:
    await plane.begin("acme")
    first, second = await plane.local.run(mint, item(), item())
    assert first == second
    assert len(await plane.local.edit("select key_id from keys")) == 3


async def test_a_token_of_another_tenant_or_of_other_services_is_refused(plane: Plane) -> None:
    await plane.begin("acme")
    await plane.begin("blue")
    await plane.local.mint("acme")
    with refused(Refusal.BAD_REQUEST):
        await plane.local.mint("blue")
    (other,) = await plane.local.run(mint, replace(item(), services=("files",)))
    assert isinstance(other, Permanent)


@pytest.mark.parametrize(
    "change",
    [{"services": ()}, {"services": ("a", "a")}, {"services": ("No",)}, {"token": ""}, {"token": "a\0b"}],
)
async def test_a_mint_of_another_form_is_refused_alone(plane: Plane, change: dict[str, object]) -> None:
    await plane.begin("acme")
    bad, good = await plane.local.run(mint, replace(item(), **change), item(token="good"))
    assert isinstance(bad, Permanent)
    assert bad.refusal is Refusal.BAD_REQUEST
    assert not isinstance(good, Exception)


@pytest.mark.parametrize(("access", "code"), [("read-only", "key-read-only"), ("blocked", "key-blocked")])
async def test_no_key_is_minted_for_a_tenant_that_may_not_encrypt(
    plane: Plane, access: str, code: str
) -> None:
    await plane.begin("acme", access=access)
    with refused(Refusal(code)):
        await plane.local.mint("acme")


async def test_an_answer_tells_what_the_region_holds(plane: Plane) -> None:
    names = [f"tenant-{number}" for number in range(5)]
    documents = [plane.world.decide(name, epoch=3) for name in names]
    done = await plane.local.run(apply, *documents)
    told = answer(plane.local.here, done)
    expected = 0
    for name, document in zip(names, documents, strict=True):
        expected ^= document_digest(name, 1, sha256(document.document).hexdigest())
    assert (told.region, told.epoch, told.tenants, told.digest) == ("local", 3, 5, f"{expected:064x}")
    # Incrementally and after a restart alike.
    newer = plane.world.decide(names[0], epoch=3)
    await plane.local.apply(newer)
    expected ^= document_digest(names[0], 1, sha256(documents[0].document).hexdigest())
    expected ^= document_digest(names[0], 2, sha256(newer.document).hexdigest())
    assert plane.local.here.state.digest == expected
    await plane.local.open()
    assert plane.local.here.state.digest == expected


async def test_what_another_process_of_the_region_applied_is_heard(plane: Plane) -> None:
    minted = await plane.protect("acme")
    blocked = plane.world.decide("acme", keys=keys_of(minted), access="blocked")
    sibling = plane.local.here.state
    (before,) = await plane.local.edit("select change from applied")
    await plane.local.apply(blocked)
    # As a sibling that has not heard yet: it still has the older view.
    other = AppliedState(
        root=sibling.root, pins=sibling.pins, marks=sibling.marks, clock=sibling.clock, confirm_s=30.0
    )
    other.change = before["change"]
    await plane.local.refresh(other)
    assert other.view("acme").desired.access == "blocked"
