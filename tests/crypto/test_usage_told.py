"""REQ-025: what a region tells control of a tenant's uses, and of nobody else's."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
import pytest

from openkcm.crypto.believed_uses import callers_belong
from openkcm.crypto.contract import Before, CallersItem, UseChainItem, UsesItem
from openkcm.sdk.refusals import Refusal
from tests.crypto.ledgers import KEY, LATER, LONG_AGO, Book, Told, proven, use, wrongs
from tests.crypto.plane import Plane
from tests.crypto.refusing import refused

pytestmark = pytest.mark.integration

EVERYTHING: Final = UsesItem(tenant="acme", since=LONG_AGO, until=LATER, limit=300)


@pytest.fixture
async def book(plane: Plane) -> Book:
    """A process of ``local`` that has started; the tenant ``acme`` is in both regions, ``evil`` too."""
    await plane.begin("acme")
    await plane.begin("evil")
    return await Book(plane.local).begin()


@pytest.fixture
def told(plane: Plane) -> Told:
    return Told(plane.local)


async def test_pages_are_newest_first_narrowed_and_without_a_gap(book: Book, told: Told) -> None:
    for number in range(7):
        book.note(use(caller=f"c{number % 2}"), number + 1)
        book.refused(use("decrypt", "key-revoked" if number % 2 else "ciphertext-invalid", service="mail"))
        assert await book.write()
    seen, before = [], None
    while True:
        page = await told.uses(msgspec.structs.replace(EVERYTHING, limit=4, before=before))
        seen += [(entry.chain, entry.number) for entry in page.entries]
        if not page.more:
            break
        last = page.entries[-1]
        before = Before(at=last.at, chain=last.chain, number=last.number)
    assert seen == [("acme/local/p1", number) for number in range(14, 0, -1)]

    async def numbers(**narrowed: object) -> list[int]:
        page = await told.uses(msgspec.structs.replace(EVERYTHING, **narrowed))
        return [entry.number for entry in page.entries]

    assert await numbers(caller="c1") == [11, 7, 3]
    assert await numbers(service="mail") == [14, 12, 10, 8, 6, 4, 2]
    assert await numbers(key=KEY.hex()) == list(range(14, 0, -1))
    assert await numbers(key=KEY.hex()[2:]) == []
    assert await numbers(verb="encrypt") == [13, 11, 9, 7, 5, 3, 1]
    assert await numbers(outcome="refused") == [14, 12, 10, 8, 6, 4, 2]
    assert await numbers(outcome="key-revoked") == [12, 8, 4]
    assert await numbers(outcome="done", caller="c0", limit=2) == [13, 9]
    at = (await book.rows())[3]["at"]
    assert await numbers(until=at) == [2, 1]
    assert await numbers(since=at) == list(range(14, 2, -1))


async def test_the_newest_use_of_each_caller_is_found_and_nobody_elses(book: Book, told: Told) -> None:
    asked = CallersItem(tenant="acme", callers=("shop", "mail", "idle"))
    assert (await told.callers(asked)).last == ()
    book.note(use(), 3)
    book.note(use(tenant="evil", caller="idle"))
    assert await book.write()
    book.refused(use("decrypt", "key-revoked", caller="mail"))
    assert await book.write()
    book.note(use("rewrap"), 2)
    assert await book.write()
    answer = await told.callers(asked)
    assert (answer.tenant, answer.address) == ("acme", book.inside.here.data_address)
    at = {row["number"]: row["at"] for row in await book.rows()}
    assert sorted((one.caller, one.at, one.verb, one.outcome) for one in answer.last) == [
        ("mail", at[2], "decrypt", "key-revoked"),
        ("shop", at[3], "rewrap", "done"),
    ]
    assert callers_belong(asked, answer)


async def test_callers_are_told_of_to_nobody_who_should_not_ask(told: Told, book: Book) -> None:
    for item, refusal in (
        (CallersItem(tenant="nobody", callers=("shop",)), Refusal.TENANT_UNKNOWN),
        (CallersItem(tenant="acme", callers=tuple(f"c{n}" for n in range(201))), Refusal.BAD_REQUEST),
    ):
        with refused(refusal):
            await told.callers(item)
    assert (await told.callers(CallersItem(tenant="acme"))).last == ()


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]"])  # noqa: S104 - what nobody is to be told
async def test_an_address_that_is_every_address_is_not_told(told: Told, book: Book, host: str) -> None:
    here = book.inside.here
    book.inside.here = replace(here, data_address=f"https://{host}:8081")
    assert (await told.callers(CallersItem(tenant="acme"))).address == ""
    book.inside.here = here
    assert (await told.callers(CallersItem(tenant="acme"))).address == here.data_address


async def test_sums_are_what_was_done_and_refused_in_each_step(book: Book, told: Told) -> None:
    for count in (3, 4):
        book.note(use(), count)
        book.refused(use("decrypt", "key-revoked"), 12)
        assert await book.write()
    await book.inside.edit("update use_entries set at = at - interval '2 hours' where number <= 12")
    hour = datetime.now(UTC)
    item = msgspec.structs.replace(
        EVERYTHING, since=hour - timedelta(hours=5), until=hour + timedelta(hours=1), step_s=3600, limit=0
    )
    sums = (await told.uses(item)).sums
    assert [(one.done, one.refused) for one in sums] == [(3, 12), (4, 12)]
    assert sums[1].at - sums[0].at == timedelta(hours=2)
    assert sums[0].at.minute == 0
    with refused(Refusal.BAD_REQUEST):
        await told.uses(msgspec.structs.replace(item, step_s=1))


async def test_a_tenant_is_told_nothing_of_another(book: Book, told: Told) -> None:
    book.note(use(), 3)
    book.note(use(tenant="evil"), 4)
    assert await book.write()
    page = await told.uses(msgspec.structs.replace(EVERYTHING, tenant="evil"))
    assert [(entry.chain, entry.number) for entry in page.entries] == [("evil/local/p1", 1)]
    text = "".join(row.chain + row.detail for row in await told.rows("evil"))
    assert "acme" not in text
    with refused(Refusal.BAD_REQUEST):
        await told.use_chain(UseChainItem(tenant="evil", chain="acme/local/p1", after=0, until=9))
    with refused(Refusal.TENANT_UNKNOWN):
        await told.uses(msgspec.structs.replace(EVERYTHING, tenant="nobody"))


async def test_a_region_outside_of_the_tenants_set_tells_nothing(
    book: Book, told: Told, plane: Plane
) -> None:
    book.note(use())
    assert await book.write()
    await plane.local.apply(plane.world.decide("acme", regions=("eu-1",)))
    for ask in (
        told.uses(EVERYTHING),
        told.signed(),
        told.use_chain(UseChainItem(tenant="acme", chain="acme/local/p1", after=0, until=1)),
    ):
        with refused(Refusal.REGION_NOT_IN_SET):
            await ask


async def test_a_range_starts_where_it_was_asked_for_and_is_proven_up_to_the_checkpoint(
    book: Book, told: Told
) -> None:
    for count in (1, 2, 3):
        book.note(use(), count)
        assert await book.write()
    since = (await book.rows())[2]["at"]
    proof = await told.proof(since=since)
    (mine,) = [chain for chain in proof.chains if chain.chain == "acme/local/p1"]
    assert proof.whole
    assert (mine.after, mine.number, mine.uses) == (1, 3, 5), "with the last one before it"
    rows = await told.rows(since=since)
    start = next(at for at, row in enumerate(rows) if row.kind == "start" and row.chain == "acme/local/p1")
    first = rows[start + 1]
    moved = msgspec.structs.replace(rows[start], number=first.number, hash=first.hash)
    end = msgspec.structs.replace(rows[-1], number=rows[-1].number - 1)
    cut = proven([*rows[:start], moved, *rows[start + 2 : -1], end], told)
    assert wrongs(cut) == ["what was before entry 3 is missing"], "nothing can be left out at its beginning"
