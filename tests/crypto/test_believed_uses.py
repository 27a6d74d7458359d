"""What control believes of a region's answer about uses: nothing that was not asked for, or cannot be shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from openkcm.crypto.believed_uses import callers_belong, use_chain_belongs, uses_belong
from openkcm.crypto.contract import (
    Before,
    CallersItem,
    CallersTold,
    LastUse,
    UseChainItem,
    UseChainTold,
    UseEntry,
    UsesItem,
    UsesTold,
    UseSum,
)
from openkcm.parties.checkpoint import Point

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ITEM = UsesItem(tenant="acme", since=NOON - timedelta(hours=1), until=NOON, limit=3)


def entry(number: int, **changes: object) -> UseEntry:
    made = UseEntry(
        chain="acme/local/p1",
        number=number,
        at=NOON - timedelta(minutes=10 - number),
        actor="caller:shop",
        verb="encrypt",
        object="default/00",
        outcome="done",
        detail=b'{"count":1}',
        hash="00" * 32,
    )
    return replace(made, **changes)


TOLD = UsesTold(tenant="acme", entries=(entry(3), entry(2), entry(1)), more=True)
CHAIN = UseChainItem(tenant="acme", chain="acme/local/p1", after=0, until=3)
CHAIN_TOLD = UseChainTold(chain="acme/local/p1", start=Point(), entries=(entry(1), entry(2), entry(3)))


def test_an_answer_to_what_was_asked_is_believed() -> None:
    assert uses_belong(ITEM, TOLD)
    assert uses_belong(ITEM, UsesTold(tenant="acme", entries=(), more=False))
    assert use_chain_belongs(CHAIN, CHAIN_TOLD)
    assert use_chain_belongs(
        replace(CHAIN, after=1), replace(CHAIN_TOLD, start=Point(number=2), entries=(entry(3),))
    )


@pytest.mark.parametrize(
    "told",
    [
        replace(TOLD, tenant="evil"),
        replace(TOLD, entries=(entry(3), entry(2, chain="evil/local/p1"))),
        replace(TOLD, entries=(entry(1), entry(2))),
        replace(TOLD, entries=(entry(2), entry(2))),
        replace(TOLD, entries=(entry(4), entry(3), entry(2), entry(1))),
        replace(TOLD, entries=(entry(1, at=NOON),)),
        replace(TOLD, entries=(entry(1, at=NOON - timedelta(hours=2)),)),
        replace(TOLD, entries=()),
        replace(TOLD, entries=(entry(1, actor="caller:\u202eshop"),)),
        replace(TOLD, entries=(entry(1, outcome="x" * 300),)),
        replace(TOLD, entries=(entry(1, detail=b"x" * 3000),)),
        replace(TOLD, sums=tuple(UseSum(at=NOON, done=1, refused=0) for _ in range(900))),
        replace(TOLD, sums=(UseSum(at=NOON, done=-1, refused=0),)),
    ],
)
def test_uses_that_were_not_asked_for_are_not_believed(told: UsesTold) -> None:
    assert not uses_belong(ITEM, told)


def test_a_page_goes_on_before_the_place_that_was_named() -> None:
    before = Before(at=entry(3).at, chain="acme/local/p1", number=3)
    assert not uses_belong(replace(ITEM, before=before), TOLD)
    assert uses_belong(replace(ITEM, before=before), replace(TOLD, entries=TOLD.entries[1:]))


@pytest.mark.parametrize(
    "told",
    [
        replace(CHAIN_TOLD, chain="acme/local/p2"),
        replace(CHAIN_TOLD, entries=(entry(1), entry(2, chain="acme/local/p2"))),
        replace(CHAIN_TOLD, entries=(entry(2), entry(1))),
        replace(CHAIN_TOLD, entries=(entry(4),)),
        replace(CHAIN_TOLD, start=Point(number=2)),
        replace(CHAIN_TOLD, start=Point(number=-1)),
    ],
)
def test_a_chain_that_was_not_asked_for_is_not_believed(told: UseChainTold) -> None:
    assert not use_chain_belongs(CHAIN, told)


CALLERS = CallersItem(tenant="acme", callers=("shop", "mail"))
SHOP = LastUse(caller="shop", at=NOON, verb="encrypt", outcome="done")
CALLERS_TOLD = CallersTold(tenant="acme", address="https://region.example:8081", last=(SHOP,))


@pytest.mark.parametrize(
    "told",
    [
        CALLERS_TOLD,
        replace(CALLERS_TOLD, address="http://[::1]:8081", last=()),
        replace(CALLERS_TOLD, address=""),
        replace(CALLERS_TOLD, last=(SHOP, replace(SHOP, caller="mail"))),
    ],
)
def test_what_a_region_knows_of_callers_is_believed(told: CallersTold) -> None:
    assert callers_belong(CALLERS, told)


@pytest.mark.parametrize(
    "told",
    [
        replace(CALLERS_TOLD, tenant="evil"),
        replace(CALLERS_TOLD, address="javascript:alert(1)"),
        replace(CALLERS_TOLD, address="https://region.example:8081/ x"),
        replace(CALLERS_TOLD, address="https://" + "a" * 400),
        replace(CALLERS_TOLD, last=(SHOP, SHOP)),
        replace(CALLERS_TOLD, last=(replace(SHOP, caller="other"),)),
        replace(CALLERS_TOLD, last=(replace(SHOP, at=NOON.replace(tzinfo=None)),)),
        replace(CALLERS_TOLD, last=(replace(SHOP, outcome="\u202edone"),)),
        replace(CALLERS_TOLD, last=(replace(SHOP, verb="x" * 300),)),
    ],
)
def test_what_was_not_asked_of_callers_is_not_believed(told: CallersTold) -> None:
    assert not callers_belong(CALLERS, told)
