"""Who writes a region's database may take uses away; he cannot change, hide or make up one without its showing."""

from __future__ import annotations

import msgspec
import pytest

from openkcm.parties.checkpoint import sign_checkpoint
from openkcm.sdk.refusals import Refusal
from tests.crypto.ledgers import Book, Told, proven, use, wrongs
from tests.crypto.plane import Plane
from tests.crypto.refusing import refused

pytestmark = pytest.mark.integration


SWAP = (
    "update use_entries set number = number + 97 where number in (3, 4); "
    "update use_entries set number = 104 - number where number > 90"
)


@pytest.fixture
async def book(plane: Plane) -> Book:
    """Five entries of ``acme``."""
    await plane.begin("acme")
    made = await Book(plane.local).begin()
    for count in range(1, 6):
        made.note(use(), count)
        assert await made.write()
    return made


@pytest.fixture
def told(plane: Plane) -> Told:
    return Told(plane.local)


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        ("update use_entries set actor = 'caller:nobody' where number = 3", "entry 3 was changed"),
        ("update use_entries set verb = 'decrypt' where number = 3", "entry 3 was changed"),
        ("update use_entries set outcome = 'key-revoked' where number = 3", "entry 3 was changed"),
        ("update use_entries set object = 'mail/' where number = 3", "entry 3 was changed"),
        ("update use_entries set at = at + interval '1 microsecond' where number = 3", "entry 3 was changed"),
        (
            "update use_entries set detail = convert_to('{\"count\":1}', 'utf8') where number = 3",
            "entry 3 was changed",
        ),
        ("delete from use_entries where number = 3", "entry 3 is missing"),
        ("delete from use_entries where number >= 4", "entries 4 to 5 are missing"),
        ("delete from use_entries", "entries 1 to 5 are missing"),
        (
            SWAP,
            "entry 3 was changed",
        ),
        (
            "update use_entries set hash = sha256(hash) where number = 3",
            "entry 3 was changed",
        ),
    ],
)
async def test_what_was_done_to_the_rows_is_found(book: Book, told: Told, edit: str, says: str) -> None:
    assert (await told.proof()).whole
    for each in edit.split(";"):
        await book.inside.edit(each + (" and" if "where" in each else " where") + " tenant = 'acme'")
    assert wrongs(await told.proof()) == [says]


async def test_a_row_that_was_put_in_is_found_wherever_it_stands(book: Book, told: Told) -> None:
    copy = (
        "insert into use_entries select chain, $1, at, actor, verb, object, outcome, detail, hash, tenant, count "
        "from use_entries where number = 5 and tenant = 'acme'"
    )
    await book.inside.edit(copy, 6)
    assert (await told.proof()).whole, "it stands after what the region signs, and is in no export"
    book.note(use(), 7)
    assert await book.write()
    assert wrongs(await told.proof()) == ["entry 6 was changed"], "ours was kept out by it"


async def test_a_head_that_was_set_back_or_written_anew_is_not_signed(book: Book, told: Told) -> None:
    await book.inside.edit(
        "update use_heads set number = 3, hash = (select hash from use_entries where number = 3 and tenant = 'acme') "
        "where tenant = 'acme'"
    )
    with refused(Refusal.RECORD_MISMATCH):
        await told.signed()
    book.note(use(), 7)
    assert await book.write(), "writing goes on"
    proof = await told.proof()
    assert not proof.whole
    assert any("somebody else had written the head" in remark for remark in proof.remarks)


async def test_a_head_that_was_deleted_begins_no_chain_anew(book: Book, told: Told) -> None:
    await book.inside.edit("delete from use_heads where tenant = 'acme'")
    book.note(use(), 7)
    assert await book.write()
    assert [row["number"] for row in await book.rows()] == [1, 2, 3, 4, 5, 6, 7]
    assert "the head before entry 6 was not this region's" in wrongs(await told.proof())


async def test_a_database_that_was_set_back_is_found_by_an_earlier_checkpoint(book: Book, told: Told) -> None:
    """Head, code and rows are the region's own, of an earlier time: only what left the region says so."""
    before = await book.inside.edit("select * from use_heads where tenant = 'acme'")
    book.note(use(), 6)
    assert await book.write()
    signed = await told.signed()
    await book.inside.edit("delete from use_entries where number = 6 and tenant = 'acme'")
    await book.inside.edit(
        "update use_heads set number = $1, hash = $2, mac = $3 where tenant = 'acme'",
        *(before[0][name] for name in ("number", "hash", "mac")),
    )
    assert (await told.proof()).whole
    assert wrongs(await told.proof(signed=signed)) == ["entries 6 to 6 are missing"]


async def test_a_checkpoint_of_another_signer_tenant_or_region_proves_nothing(
    book: Book, told: Told, plane: Plane
) -> None:
    good = await told.signed()
    said = told.read(good, "acme")
    elsewhere = sign_checkpoint(plane.eu.identity, said)
    assert any("is not believed" in wrong for wrong in wrongs(await told.proof(signed=elsewhere)))
    bent = msgspec.structs.replace(good, document=good.document.replace(b'"number":5', b'"number":4'))
    assert bent.document != good.document
    assert any("is not believed" in wrong for wrong in wrongs(await told.proof(signed=bent)))
    rows = await told.rows()
    other = [msgspec.structs.replace(row, chain="evil") if row.kind == "header" else row for row in rows]
    assert any("is not believed" in wrong for wrong in wrongs(proven(other, told)))


async def test_an_export_that_lacks_lines_or_has_others_is_not_whole(book: Book, told: Told) -> None:
    rows = await told.rows()
    assert proven(rows, told).whole
    for at in range(len(rows)):
        assert not proven(rows[:at] + rows[at + 1 :], told).whole, rows[at].kind
        assert not proven([*rows[: at + 1], *rows[at:]], told).whole, rows[at].kind
    entries = [at for at, row in enumerate(rows) if row.kind == "entry"]
    for at in entries:
        for name, value in (
            ("actor", "x"),
            ("count", 99),
            ("detail", "{}"),
            ("hash", "00" * 32),
            ("number", 77),
        ):
            changed = [*rows]
            changed[at] = msgspec.structs.replace(rows[at], **{name: value})
            assert not proven(changed, told).whole, name
        for at_ in ("1960-01-01T00:00:00Z", "2026-01-01T00:00:00", "no time", ""):
            assert not proven(
                [*rows[:at], msgspec.structs.replace(rows[at], at=at_), *rows[at + 1 :]], told
            ).whole
    for start in (at for at, row in enumerate(rows) if row.kind == "start"):
        for name, value in (("number", 2**64), ("number", -1), ("hash", "zz"), ("hash", "00" * 32)):
            changed = [*rows]
            changed[start] = msgspec.structs.replace(rows[start], **{name: value})
            assert not proven(changed, told).whole, name


async def test_what_is_stored_of_a_process_hides_no_kill(book: Book, told: Told) -> None:
    await book.inside.edit("update use_processes set written_at = now() + interval '1 day'")
    with refused(Refusal.RECORD_MISMATCH):
        await told.signed()
    await book.begin()
    (said,) = (await told.proof()).remarks
    assert "between an unknown time and" in said


async def test_the_regions_own_login_may_change_no_entry(book: Book) -> None:
    async with book.inside.pool.acquire() as own:
        with pytest.raises(Exception, match="permission denied"):
            await own.execute("update use_entries set count = 0")
