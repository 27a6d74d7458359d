"""The certificate: what it holds, who signed it, who is told of it."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from openkcm.ending.model import check
from openkcm.ending.store import certificate_of
from openkcm.kernel.db import Role, transaction
from openkcm.parties.labels import Record
from openkcm.parties.signed import sign
from openkcm.sdk.refusals import Refusal
from openkcm.sdk.tenant_source import Presence
from openkcm.tenancy.observe import observe
from tests.control import batch, rows
from tests.crypto.refusing import refused
from tests.ending.parts import (
    GRACE_S,
    OPERATOR,
    OWNER,
    STEPS,
    TOLD,
    Worker,
    presence,
    sagas,
)

pytestmark = pytest.mark.integration


async def test_the_certificate_holds_the_receipts_and_two_dates_and_is_signed(worker: Worker) -> None:
    await worker.deleted()
    await worker.later(GRACE_S)
    async with transaction(Role.APP, "acme") as tx:
        signed = await certificate_of(tx, "acme")
    assert signed is not None
    now = worker.clock.now()
    checked = check(worker.means.pins, signed, tenant="acme", now=now)
    assert checked.certificate.destroyed_at == now
    assert (checked.certificate.backups_end_at - now).days == 14
    assert [receipt.region for receipt in checked.receipts] == ["local", "eu-1"]
    assert "14 days" in " ".join(checked.certificate.proves)
    for field, value in (("tenant", "blue"), ("backup_days", 1)):
        other = msgspec.json.decode(signed.document)
        other[field] = value
        with refused(Refusal.SIGNATURE_INVALID):
            changed = msgspec.structs.replace(signed, document=msgspec.json.encode(other))
            check(worker.means.pins, changed, tenant="acme", now=now)
    with refused(Refusal.RECORD_MISMATCH):
        check(worker.means.pins, signed, tenant="blue", now=now)


async def test_the_owner_and_the_operator_are_told_with_both_dates(worker: Worker) -> None:
    await worker.deleted()
    await worker.later(GRACE_S)
    letters = await rows(
        "select recipient, text from deliveries join messages on message = id where event like 'destroyed%' "
        "order by recipient"
    )
    assert [row["recipient"] for row in letters] == [OWNER, OPERATOR]
    for row in letters:
        text = str(row["text"]).replace("\u00a0", " ")
        assert "24 Dec 2026, 12:00" in text
        assert "7 Jan 2027, 12:00" in text
    assert "openkcm tenants certificate acme" in str(letters[1]["text"])
    assert worker.source.status_log[-1].state == "gone"


async def test_another_record_that_control_signed_is_no_certificate(worker: Worker) -> None:
    await worker.deleted()
    await worker.later(GRACE_S)
    async with transaction(Role.APP, "acme") as tx:
        signed = await certificate_of(tx, "acme")
    assert signed is not None
    identity = worker.means.identity
    for record in (Record.DESIRED, Record.TIGHTENING):
        signature = sign(identity, record, 1, signed.document)
        with refused(Refusal.SIGNATURE_INVALID):
            check(
                worker.means.pins,
                msgspec.structs.replace(signed, signature=signature),
                tenant="acme",
                now=worker.clock.now(),
            )


async def test_a_tenant_that_no_region_ever_heard_of_is_buried_without_one(worker: Worker) -> None:
    await observe("memory", batch(TOLD), worker.clock)
    async with transaction(Role.SYSTEM) as tx:
        await tx.execute("update tenants set stage = 'undone'")
    await observe("memory", batch(replace(TOLD, presence=Presence.DELETING)), worker.clock, grace_s=GRACE_S)
    worker.source.put(replace(TOLD, presence=Presence.DELETING))
    await worker.later(GRACE_S)
    assert await sagas() == [("done", STEPS)]
    assert await presence() == "gone"
    assert await rows("select 1 from messages where event like 'destroyed%'") == []
    async with transaction(Role.SYSTEM) as tx:
        signed = await certificate_of(tx, "acme")
    assert signed is not None
    checked = check(worker.means.pins, signed, tenant="acme", now=worker.clock.now())
    assert (checked.receipts, "No region ever held" in checked.certificate.proves[0]) == ((), True)
