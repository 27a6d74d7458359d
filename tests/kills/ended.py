"""What is true of tenants that were ended: one certificate that tells of every key that was, and nothing left."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from openkcm.audit.verbs import AuditVerb
from openkcm.ending.model import Certificate
from openkcm.ending.shown import checked_certificate
from openkcm.parties.receipt import Receipt
from openkcm.parties.settings import read_pins
from openkcm.settings import load_settings
from tests.databases import REGIONS
from tests.kills.after import assert_chains_whole, assert_messages_once
from tests.provisioning.consistent import applied, journal, stored
from tests.provisioning.site import Site

STEPS = ("look-again", "destroy", "certify", "bury", "tell")
ONCE = (
    AuditVerb.END_LOOKED,
    AuditVerb.END_BEGUN,
    AuditVerb.END_DESTROYED,
    AuditVerb.END_CERTIFIED,
    AuditVerb.TENANT_BURIED,
    AuditVerb.END_TOLD,
)
_VERBS = "select verb from audit_events where chain = $1"


def assert_all_ended(site: Site, tenants: Sequence[str]) -> None:
    """Each by one effect of each step; the people have heard once; every chain is whole."""
    for tenant in tenants:
        _assert_ended(site, tenant)
    assert_messages_once(site)
    assert_chains_whole(site)


def _assert_ended(site: Site, tenant: str) -> None:
    assert sorted(journal(site, tenant)) == sorted((step, "do") for step in STEPS), tenant
    assert site.one("select presence from tenants where id = $1", tenant) == {"presence": "gone"}
    ends = site.rows("select state from sagas where tenant = $1 and plan = 'end-tenant'", tenant)
    assert [row["state"] for row in ends] == ["done"]
    verbs = Counter(row["verb"] for row in site.rows(_VERBS, tenant))
    assert [verbs[verb] for verb in ONCE] == [1] * len(ONCE), (tenant, verbs)
    _assert_destroyed(site, tenant)
    events = site.rows("select event from messages where tenant = $1 order by event", tenant)
    assert [row["event"] for row in events if row["event"] == "destroyed"] == ["destroyed"]
    assert len(site.rows("select from messages where event = $1", f"destroyed:{tenant}")) == 1


def _assert_destroyed(site: Site, tenant: str) -> None:
    """Control and every region know the same keys, the certificate names them all, and no region can open one."""
    rows = site.rows("select key_id, state from keys where tenant = $1", tenant)
    keys = {row["key_id"] for row in rows}
    assert len(rows) == len(keys) == 2
    assert {row["state"] for row in rows} == {"destroyed"}
    settings = load_settings(environ={}, file=site.home / "worker.toml")
    signed, _ = site.loop.run(
        checked_certificate(tenant, read_pins(settings.parties.pins), now=datetime.now(UTC))
    )
    certificate = msgspec.json.decode(signed.document, type=Certificate)
    receipts = [msgspec.json.decode(each.document, type=Receipt) for each in certificate.receipts]
    assert [receipt.region for receipt in receipts] == list(REGIONS)
    for receipt in receipts:
        region = receipt.region
        assert {*receipt.tenant_keys, *receipt.service_keys} == keys == stored(site, region, tenant)
        assert not site.rows(
            "select from erase_secrets join keys using (key_id) where tenant = $1", tenant, database=region
        )
        assert not site.rows("select from offers where tenant = $1", tenant, database=region)
        destroyed = [
            row
            for row in site.rows(_VERBS, tenant, database=region)
            if row["verb"] == AuditVerb.KEYS_DESTROYED
        ]
        assert len(destroyed) == 1, (region, tenant)
        told = applied(site, region, tenant)
        assert (told.access, told.keys) == ("blocked", ()), (region, tenant)
        assert told.destroyed, "the tombstone is in force"
    (row,) = site.rows(
        "select document from desired where tenant = $1 order by generation desc limit 1", tenant
    )
    assert json.loads(row["document"])["destroyed"]
