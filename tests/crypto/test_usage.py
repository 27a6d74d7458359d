"""REQ-025: what callers do with keys is written down as it was, sealed, and proven; on a real database."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

import asyncpg
import msgspec
import pytest

from openkcm.audit.record import seal
from openkcm.crypto.contract import UsesItem
from openkcm.crypto.usage import gathered
from openkcm.crypto.usage.heads import head_mac
from openkcm.kernel.db import DB
from openkcm.parties.checkpoint import sign_checkpoint
from tests.crypto.ledgers import KEY, LATER, LONG_AGO, Book, Told, use, wrongs
from tests.crypto.plane import Plane

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


async def test_counts_of_a_period_are_one_entry_for_each_caller_service_key_verb_and_outcome(
    book: Book,
) -> None:
    for _ in range(1000):
        book.note(use())
    book.note(use("decrypt"), 7)
    book.note(use(caller="till"), 3)
    book.note(use(key_id=b"\1" * 16), 2)
    book.note(use(service="mail"), 5)
    assert await book.write()
    rows = await book.rows()
    assert sorted((row["actor"], row["verb"], row["object"], row["count"]) for row in rows) == [
        ("caller:shop", "decrypt", f"default/{KEY.hex()}", 7),
        ("caller:shop", "encrypt", f"default/{'01' * 16}", 2),
        ("caller:shop", "encrypt", f"default/{KEY.hex()}", 1000),
        ("caller:shop", "encrypt", f"mail/{KEY.hex()}", 5),
        ("caller:till", "encrypt", f"default/{KEY.hex()}", 3),
    ]
    assert {row["outcome"] for row in rows} == {"done"}
    assert all(msgspec.json.decode(row["detail"])["count"] == row["count"] for row in rows)
    assert await book.write(), "there is nothing more"
    assert len(await book.rows()) == 5


async def test_ten_refusals_alike_are_told_one_by_one_and_the_others_counted(
    book: Book, plane: Plane
) -> None:
    begun = plane.clock.now()
    for _ in range(25):
        book.refused(use("decrypt", "ciphertext-invalid"))
        plane.clock.advance(0.1)
    book.refused(use("decrypt", "key-revoked"), 2)
    assert await book.write()
    rows = [row for row in await book.rows() if row["outcome"] == "ciphertext-invalid"]
    single = [
        msgspec.json.decode(row["detail"]) for row in rows if "at" in msgspec.json.decode(row["detail"])
    ]
    assert [one["count"] for one in single] == [1] * 10
    assert single[3]["at"] == f"{begun + timedelta(seconds=0.3):%Y-%m-%dT%H:%M:%S.%fZ}"
    assert sorted(row["count"] for row in rows) == [*[1] * 10, 15]
    assert (await book.counted())["caller:shop", "decrypt", "key-revoked"] == 2
    book.refused(use("decrypt", "ciphertext-invalid"), 3)
    assert await book.write()
    assert (await book.counted())["caller:shop", "decrypt", "ciphertext-invalid"] == 28
    assert len(await book.rows()) == 11 + 2 + 3, "a new period tells ten of its own"


async def test_a_database_that_is_away_loses_nothing_and_tells_it_once(book: Book, told: Told) -> None:
    pool = book.inside.pool
    total = 0
    for period in range(4):
        book.note(use(), 10 + period)
        book.refused(use("decrypt", "key-revoked"), 12)
        total += 10 + period
        await pool.expire_connections()
        DB.pool = None  # nobody answers
        assert not await book.ledger.write()
    book.note(use())
    assert await book.write()
    assert await book.counted() == {
        ("caller:shop", "encrypt", "done"): total + 1,
        ("caller:shop", "decrypt", "key-revoked"): 48,
    }
    singles = [row for row in await book.rows() if b'"at"' in row["detail"]]
    assert len(singles) == 40, "ten of each period"
    assert (await told.proof()).whole


async def test_a_commit_whose_answer_was_lost_is_not_written_again(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    book.note(use(), 5)
    committed = asyncpg.Connection.execute

    async def lost(self: asyncpg.Connection, query: str, *args: object, **more: object) -> str:
        answer = await committed(self, query, *args, **more)
        if query == "commit":
            raise asyncpg.ConnectionDoesNotExistError("the answer did not come")
        return str(answer)

    with monkeypatch.context() as patch:
        patch.setattr(asyncpg.Connection, "execute", lost)
        assert not await book.write()
    book.note(use(), 2)
    assert await book.write()
    assert await book.counted() == {("caller:shop", "encrypt", "done"): 7}
    assert [row["count"] for row in await book.rows()] == [5, 2]


async def test_a_write_that_is_cut_off_is_made_whole_by_the_next(
    book: Book, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    book.note(use(), 5)
    fetchval = asyncpg.Connection.fetchval

    async def hangs(self: asyncpg.Connection, query: str, *args: object, **more: object) -> object:
        if "use_entries" in query:
            await asyncio.Event().wait()
        return await fetchval(self, query, *args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(asyncpg.Connection, "fetchval", hangs)
        writing = asyncio.create_task(book.write())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(writing), 0.2)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
    assert await book.stop()
    assert await book.counted() == {("caller:shop", "encrypt", "done"): 5}
    assert (await told.proof()).whole


async def test_what_does_not_fit_is_counted_and_said(
    book: Book, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathered, "MOST_KINDS", 3)
    monkeypatch.setattr(gathered, "MOST_SINGLE", 4)
    for number in range(5):
        book.note(use(caller=f"c{number}"), 10)
    book.refused(use("decrypt", "key-revoked", tenant="evil"), 2)
    assert await book.write()
    assert (await book.counted())["region:p1", "drop", "done"] == 20
    assert (await book.counted("evil")) == {("region:p1", "drop", "done"): 2}
    assert sum((await book.counted()).values()) == 50
    monkeypatch.setattr(gathered, "MOST_KINDS", 100)
    book.refused(use("decrypt", "key-revoked"), 10)
    assert await book.write()
    singles = [row for row in await book.rows() if b'"at"' in row["detail"]]
    assert len(singles) == 4
    assert (await book.counted())["caller:shop", "decrypt", "key-revoked"] == 10, "counted, if not one by one"
    (said,) = [remark for remark in (await told.proof()).remarks if "keep apart" in remark]
    assert "20 uses" in said


async def test_a_caller_who_names_many_keys_takes_no_other_tenants_place(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathered, "MOST_OF_TENANT", 5)
    for number in range(50):
        book.refused(use("leases", "key-unknown", key_id=number.to_bytes(16, "big"), tenant="evil"))
    book.note(use(), 3)
    assert await book.write()
    assert await book.counted() == {("caller:shop", "encrypt", "done"): 3}
    assert await book.counted("evil") == {("caller:shop", "leases", "key-unknown"): 50}
    rows = await book.rows("evil")
    assert {row["object"]: row["count"] for row in rows}["default/"] == 45
    assert len(rows) == 6


async def test_an_orderly_stop_writes_the_last_period_and_the_next_start_has_nothing_to_say(
    book: Book, told: Told
) -> None:
    book.note(use(), 3)
    assert await book.stop()
    assert await book.counted() == {("caller:shop", "encrypt", "done"): 3}
    await book.begin()
    assert [row["verb"] for row in await book.rows("")] == ["start", "stop", "start"]
    assert (await told.proof()).remarks == []


async def test_a_process_that_was_killed_lost_one_period_and_the_proof_says_between_when(
    book: Book, told: Told
) -> None:
    book.note(use(), 3)
    assert await book.write()
    (written,) = await book.inside.edit("select written_at from use_processes")
    book.note(use(), 100)
    await book.begin()  # killed and started again: what was in memory is gone
    proof = await told.proof()
    assert await book.counted() == {("caller:shop", "encrypt", "done"): 3}
    assert proof.whole
    (said,) = proof.remarks
    assert f"ended without its last entries between {written['written_at']:%Y-%m-%d %H:%M:%S} UTC and" in said


async def test_a_process_that_never_came_back_is_named_with_its_last_word(book: Book, told: Told) -> None:
    other = await Book(book.inside, process="p2").begin()
    assert await other.stop()
    signed = await told.signed()
    now = told.read(signed, "acme")
    late = msgspec.structs.replace(now, made_at=now.made_at + timedelta(hours=1))
    proof = await told.proof(signed=sign_checkpoint(book.inside.identity, late))
    assert proof.whole
    (said,) = proof.remarks
    assert said.startswith("Process local/p1 has written nothing since ")


async def test_two_processes_of_a_region_have_chains_of_their_own_and_one_proof(
    book: Book, told: Told
) -> None:
    other = await Book(book.inside, process="p2").begin()
    for _ in range(3):
        book.note(use(), 2)
        assert await book.write()
        other.note(use(), 5)
        assert await other.write()
    proof = await told.proof()
    assert proof.whole
    assert {chain.chain: chain.uses for chain in proof.chains if chain.chain.startswith("acme/")} == {
        "acme/local/p1": 6,
        "acme/local/p2": 15,
    }
    assert [remark for remark in proof.remarks if "ended" in remark] == []


async def test_what_is_too_old_goes_from_the_beginning_and_the_rest_stays_proven(
    book: Book, told: Told
) -> None:
    for count in range(1, 7):
        book.note(use(), count)
        assert await book.write()
    # As a chain of a year that was written day by day would be: the time is under the seal, so the proof is made anew.
    await book.inside.edit(
        "update use_entries set at = at - interval '10 days' where tenant = 'acme' and number <= 4"
    )
    await reseal(book)
    assert await book.expire(days=10) == 0, "not a whole day of it is too old"
    assert await book.expire(days=9) == 4
    assert [row["number"] for row in await book.rows()] == [5, 6]
    proof = await told.proof()
    assert proof.whole
    (mine,) = [chain for chain in proof.chains if chain.chain == "acme/local/p1"]
    assert (mine.after, mine.number, mine.uses) == (4, 6, 11)
    checkpoint = told.read(await told.signed(), "acme")
    (points,) = [one for one in checkpoint.chains if one.chain == "acme/local/p1"]
    assert (points.floor.number, points.head.number) == (4, 6)
    book.note(use(), 1)
    assert await book.write()
    assert (await told.proof()).whole
    await book.inside.edit("delete from use_entries where number = 5 and tenant = 'acme'")
    assert wrongs(await told.proof()) == ["entry 5 is missing"]


async def reseal(book: Book) -> None:
    """The chain as it would be, had it been written at the times that its rows say."""
    previous = b""
    for row in await book.rows():
        fields = [row[name] for name in ("actor", "verb", "object", "outcome", "detail")]
        previous = seal(previous, row["chain"], row["number"], row["at"], *fields)
        await book.inside.edit(
            "update use_entries set hash = $1 where chain = $2 and number = $3",
            previous,
            row["chain"],
            row["number"],
        )
    root = book.inside.here.root
    mac = head_mac(root, root.current.version, row["chain"], row["number"], previous, 0, b"")
    await book.inside.edit(
        "update use_heads set hash = $1, mac = $2, oldest_at = (select min(at) from use_entries where chain = $3) "
        "where chain = $3",
        previous,
        mac,
        row["chain"],
    )
