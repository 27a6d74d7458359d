"""What must be true of an account that is set up, whatever happened on the way: one effect of each step, everywhere."""

from __future__ import annotations

import base64
from collections import Counter

import httpx2
import msgspec

from openkcm.audit.store import verify_stored
from openkcm.audit.verbs import AuditVerb
from openkcm.crypto.client import PinnedRegions
from openkcm.crypto.contract import Desired, TokenItem
from openkcm.crypto.settings import RegionSettings
from openkcm.kernel.db import Role, transaction
from openkcm.parties.identity import load_identity
from openkcm.parties.settings import read_pins
from openkcm.sdk.refusals import Refused
from openkcm.settings import load_settings
from tests.databases import REGIONS
from tests.provisioning.site import Site

STEPS = ["admit", "assign", "mint", "activate", "grant", "publish", "announce", "notify"]
RECORD = b"a record of the owner's"
ONCE = (AuditVerb.KEY_MADE, AuditVerb.KEY_ACTIVATED, AuditVerb.OWNER_GRANTED, AuditVerb.TENANT_READY)


def assert_set_up(site: Site, *tenants: str) -> None:
    """Each tenant is ready by exactly one run of each step, and its two keys alone are active, in both regions."""
    for tenant in tenants:
        assert sorted(journal(site, tenant)) == sorted((step, "do") for step in STEPS), tenant
        row = site.one("select stage, presence from tenants where id = $1", tenant)
        assert row == {"stage": "ready", "presence": "present"}
        assert_keys(site, tenant)
        assert site.loop.run(_proven(tenant)) == "", tenant
        (grant,) = site.rows("select username, role from grants where tenant = $1", tenant)
        assert grant == {"username": f"{tenant}@meridian.example", "role": "owner"}
        (delivery,) = site.rows(
            "select state from deliveries join messages on message = id where messages.tenant = $1 and event = 'ready'",
            tenant,
        )
        assert delivery["state"] == "accepted"
        verbs = Counter(
            row["verb"] for row in site.rows("select verb from audit_events where chain = $1", tenant)
        )
        assert [verbs[verb] for verb in ONCE] == [1] * len(ONCE), (tenant, verbs)


def journal(site: Site, tenant: str, *, direction: str = "") -> list[tuple[str, str]]:
    """(step, direction) of the newest set-up, in order."""
    rows = site.rows(
        "select step, direction from saga_steps where saga = (select max(id) from sagas where tenant = $1) "
        "and direction like $2 order by at",
        tenant,
        direction or "%",
    )
    return [(row["step"], row["direction"]) for row in rows]


def assert_keys(site: Site, tenant: str) -> None:
    """One L2 and one L3 are active; control and both regions name the same two, and use no other."""
    rows = site.rows("select key_id, level from keys where tenant = $1 and state = 'active'", tenant)
    active = {row["key_id"]: row["level"] for row in rows}
    assert sorted(active.values()) == ["L2", "L3"], (tenant, active)
    for region in REGIONS:
        desired = applied(site, region, tenant)
        assert desired.access == "active"
        assert {key.key_id for key in desired.keys if key.state == "active"} == set(active), (region, tenant)
        assert active.keys() <= stored(site, region, tenant)
    assert_accounted_for(site, tenant)


def assert_accounted_for(site: Site, tenant: str) -> None:
    """Every key that a region holds was made for a set-up of this tenant, and once for each."""
    sagas = {f"saga-{row['id']}" for row in site.rows("select id from sagas where tenant = $1", tenant)}
    minted: set[str] = set()
    for row in site.rows(
        "select token, key_ids from mint_tokens where tenant = $1", tenant, database="local"
    ):
        assert row["token"] in sagas
        minted |= {row["key_ids"][at : at + 16].hex() for at in range(0, len(row["key_ids"]), 16)}
    assert stored(site, "local", tenant) == minted
    assert stored(site, "eu-1", tenant) <= minted
    assert not site.rows("select from mint_tokens where tenant = $1", tenant, database="eu-1")


def assert_nothing_works(site: Site, tenant: str, *, access: str = "blocked") -> None:
    """No region uses a key of this tenant: none is active in its applied state, and a record is refused."""
    for region in REGIONS:
        desired = applied(site, region, tenant)
        assert (region, desired.access) == (region, access)
        assert encrypted(site, region, tenant) is None


def stored(site: Site, region: str, tenant: str) -> set[str]:
    rows = site.rows("select key_id from keys where tenant = $1", tenant, database=region)
    return {row["key_id"].hex() for row in rows}


def applied(site: Site, region: str, tenant: str) -> Desired:
    (row,) = site.rows("select document from applied where tenant = $1", tenant, database=region)
    return msgspec.json.decode(row["document"], type=Desired)


def encrypted(site: Site, region: str, tenant: str) -> bytes | None:
    """A record as this region encrypts it for a registered caller of the tenant; None where it refuses."""
    answer = site.loop.run(_ask(site, region, tenant, "encrypt", {"plaintext": RECORD}))
    return None if answer is None else base64.b64decode(answer["message"])


def decrypted(site: Site, region: str, tenant: str, message: bytes) -> bytes | None:
    """The record, or None where the region refuses."""
    answer = site.loop.run(_ask(site, region, tenant, "decrypt", {"message": message}))
    return None if answer is None else base64.b64decode(answer["plaintext"])


async def _ask(
    site: Site, region: str, tenant: str, verb: str, given: dict[str, bytes]
) -> dict[str, str] | None:
    settings = load_settings(environ={}, file=site.home / "worker.toml")
    dialled = tuple(RegionSettings(name=one.name, address=one.address) for one in settings.control.regions)
    regions = PinnedRegions(
        load_identity(site.home / "control" / "identity.json"), read_pins(settings.parties.pins), dialled
    )
    try:
        item = TokenItem(tenant=tenant, caller="home-page", service="default", verbs=("encrypt", "decrypt"))
        token = await regions.get(region).token(item)
    except Refused as refused:
        print(f"region {region} gives no token for {tenant}: {refused.refusal}")
        return None
    finally:
        await regions.aclose()
    body = {"tenant": tenant, "service": "default"} | {
        name: base64.b64encode(value).decode() for name, value in given.items()
    }
    async with httpx2.AsyncClient(trust_env=False) as client:
        answer = await client.post(
            f"{token.address}/v1/{verb}", json=body, headers={"Authorization": f"Bearer {token.token}"}
        )
    if answer.status_code != httpx2.codes.OK:
        print(f"region {region} does not {verb} for {tenant}: {answer.status_code} {answer.text}")
        return None
    found: dict[str, str] = answer.json()
    return found


async def _proven(chain: str) -> str:
    async with transaction(Role.SYSTEM) as tx:
        return (await verify_stored(tx, chain)).wrong
