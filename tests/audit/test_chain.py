"""REQ-025: every entry seals the one before; what was changed, left out or put in shows."""

from __future__ import annotations

import asyncio
import hashlib
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from openkcm.audit.record import INSTALLATION, Entry, microseconds, record, record_all, seal
from openkcm.audit.store import chains, entries_of, verify_stored
from openkcm.audit.verbs import AuditVerb
from openkcm.audit.verify import Head, Recorded, Verified, verify_chain
from openkcm.kernel.db import Role, transaction
from tests.contracts.tree import DOCS
from tests.databases import ModuleDatabases

AT = datetime(2026, 11, 24, 12, 0, 0, 1, tzinfo=UTC)


def chain(length: int = 3, name: str = "acme") -> list[Recorded]:
    entries: list[Recorded] = []
    for number in range(1, length + 1):
        at = AT + timedelta(seconds=number)
        detail = b'{"n":%d}' % number
        previous = entries[-1].hash if entries else b""
        sealed = seal(previous, name, number, at, "me", "a:b:c", "it", "done", detail)
        entries.append(
            Recorded(
                chain=name,
                number=number,
                at=at,
                actor="me",
                verb="a:b:c",
                object="it",
                outcome="done",
                detail=detail,
                hash=sealed,
            )
        )
    return entries


def head(entries: list[Recorded]) -> Head:
    return Head(number=entries[-1].number, hash=entries[-1].hash)


def test_the_sealed_bytes_are_each_item_with_its_length() -> None:
    def item(raw: bytes) -> bytes:
        return len(raw).to_bytes(4) + raw

    number, us = (7).to_bytes(8), (1_795_521_600_000_001).to_bytes(8)
    texts = [item(text) for text in (b"me", b"a:b:c", b"it", b"done", b"{}")]
    covered = b"".join((item(b"before"), item(b"acme"), item(number), item(us), *texts))
    assert (
        seal(b"before", "acme", 7, AT, "me", "a:b:c", "it", "done", b"{}") == hashlib.sha256(covered).digest()
    )


def test_microseconds_are_exact_and_the_same_in_every_zone() -> None:
    assert microseconds(datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)) == 253_402_300_799_999_999
    assert microseconds(datetime.fromisoformat("1970-01-01T02:00:00.000001+02:00")) == 1


def test_a_whole_chain_is_proven() -> None:
    entries = chain()
    assert verify_chain("acme", entries, head(entries)) == Verified(3)
    assert verify_chain("acme", [], None) == Verified(0)


@pytest.mark.parametrize(
    "change",
    [
        {"actor": "you"},
        {"verb": "a:b:d"},
        {"object": "that"},
        {"outcome": "refused"},
        {"detail": b'{"n": 2}'},
        {"at": AT},
        {"hash": b"x" * 32},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_changed_entry_ends_the_proof_before_it(change: dict[str, object]) -> None:
    entries = chain()
    entries[1] = replace(entries[1], **change)  # type: ignore[arg-type]  # one field of its own type
    assert verify_chain("acme", entries, head(entries)) == Verified(1, "entry 2 was changed")


@pytest.mark.parametrize(
    ("kept", "proven", "wrong"),
    [
        ([0, 2], 1, "entry 2 is missing"),
        ([1, 2], 0, "entry 1 is missing"),
        ([0, 1], 2, "entries 3 to 3 are missing"),
        ([0, 0, 1, 2], 1, "entry 2 is missing"),
        ([1, 0, 2], 0, "entry 1 is missing"),
    ],
)
def test_an_entry_that_is_missing_repeated_or_moved_ends_the_proof(
    kept: list[int], proven: int, wrong: str
) -> None:
    entries = chain()
    assert verify_chain("acme", [entries[at] for at in kept], head(entries)) == Verified(proven, wrong)


def test_an_entry_of_another_chain_is_none() -> None:
    entries = chain()
    assert not verify_chain("acme", [entries[0], chain(name="other")[1]], head(entries)).number > 1


def test_a_head_that_is_not_the_last_entrys_is_said() -> None:
    entries = chain()
    assert "head" in verify_chain("acme", entries, Head(number=3, hash=b"x")).wrong
    assert "older" in verify_chain("acme", entries, head(entries[:2])).wrong
    assert "no head" in verify_chain("acme", entries, None).wrong


@pytest.mark.integration
async def test_what_was_recorded_verifies_and_details_are_kept_as_bytes(control: ModuleDatabases) -> None:
    for number in range(3):
        async with transaction(Role.SYSTEM) as tx:
            await record(
                tx,
                INSTALLATION,
                actor="me",
                verb=AuditVerb.TENANT_APPEARED,
                object=f"it-{number}",
                detail={"b": 1, "a": "<ü>"},
            )
    async with transaction(Role.SYSTEM) as tx:
        assert await verify_stored(tx, INSTALLATION) == Verified(3)
        assert await chains(tx) == [INSTALLATION]
        kept = await entries_of(tx, INSTALLATION, after=1)
    assert [entry.object for entry in kept] == ["it-1", "it-2"]
    assert kept[0].detail == '{"a":"<ü>","b":1}'.encode()


@pytest.mark.integration
async def test_many_entries_of_many_chains_are_recorded_at_once(control: ModuleDatabases) -> None:
    verb = AuditVerb.STEP_DONE
    entries = [
        Entry(chain=f"t-{number % 10}", actor="me", verb=verb, object=str(number)) for number in range(100)
    ]
    for _ in range(2):
        async with transaction(Role.SYSTEM) as tx:
            await record_all(tx, entries)
    async with transaction(Role.SYSTEM) as tx:
        assert await chains(tx) == [f"t-{number}" for number in range(10)]
        for name in await chains(tx):
            assert await verify_stored(tx, name) == Verified(20)


@pytest.mark.integration
async def test_who_writes_one_chain_at_the_same_time_waits_and_no_entry_is_lost(
    control: ModuleDatabases,
) -> None:
    async def write(number: int) -> None:
        async with transaction(Role.SYSTEM) as tx:
            await record(tx, "acme", actor="me", verb=AuditVerb.STEP_DONE, object=str(number))

    await asyncio.gather(*(write(number) for number in range(20)))
    async with transaction(Role.SYSTEM) as tx:
        assert await verify_stored(tx, "acme") == Verified(20)
        at = [entry.at for entry in await entries_of(tx, "acme")]
    assert at == sorted(at)


@pytest.mark.integration
async def test_an_entry_stands_or_falls_with_its_transaction(control: ModuleDatabases) -> None:
    async def fail() -> None:
        async with transaction(Role.SYSTEM) as tx:
            await record(tx, "acme", actor="me", verb=AuditVerb.STEP_DONE, object="never")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with transaction(Role.SYSTEM) as tx:
        await record(tx, "acme", actor="me", verb=AuditVerb.STEP_DONE, object="this")
    async with transaction(Role.SYSTEM) as tx:
        assert [entry.object for entry in await entries_of(tx, "acme")] == ["this"]


@pytest.mark.integration
async def test_a_tenant_reads_and_writes_its_own_chain_alone_and_changes_no_entry(
    control: ModuleDatabases,
) -> None:
    for name in ("one", "two"):
        async with transaction(Role.APP, name) as tx:
            await record(tx, name, actor="me", verb=AuditVerb.STEP_DONE, object=name)
    async with transaction(Role.APP, "one") as tx:
        assert await chains(tx) == ["one"]
        assert await entries_of(tx, "two") == []
    for statement in ("update audit_events set actor = 'you'", "delete from audit_events"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with transaction(Role.APP, "one") as tx:
                await tx.execute(statement)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with transaction(Role.APP, "one") as tx:
            await record(tx, "two", actor="me", verb=AuditVerb.STEP_DONE, object="x")


@pytest.mark.integration
async def test_a_change_in_the_stored_log_is_found(control: ModuleDatabases) -> None:
    for number in range(3):
        async with transaction(Role.SYSTEM) as tx:
            await record(tx, "acme", actor="me", verb=AuditVerb.STEP_DONE, object=str(number))
    async with transaction(Role.SYSTEM) as tx:
        await tx.execute("update audit_events set actor = 'you' where number = 2")
        assert await verify_stored(tx, "acme") == Verified(1, "entry 2 was changed")


def test_a_verb_names_source_subject_and_action_once() -> None:
    assert all(verb.value.count(":") == 2 for verb in AuditVerb)
    assert len({verb.value for verb in AuditVerb}) == len(AuditVerb)


def test_the_page_of_the_audit_log_names_every_verb_and_no_other() -> None:
    page = (DOCS / "reference" / "audit.md").read_text()
    assert re.findall(r"^\| `(\w+:\w+:\w+)` \|", page, flags=re.MULTILINE) == [
        verb.value for verb in AuditVerb
    ]
