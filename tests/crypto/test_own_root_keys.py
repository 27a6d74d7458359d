"""A tenant's own root key, behind a real key-store host: linked, silent, refusing, revoked, and back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace

from openkcm.crypto.bounds import Choice
from openkcm.crypto.check import check
from openkcm.crypto.connection import CheckItem, DesiredPolicy, LinksItem, LinkTold
from openkcm.crypto.metrics import KEY_STORE_CALLS
from openkcm.crypto.tell_links import tell_links
from openkcm.sdk.refusals import Permanent, Refusal, Refused, Temporary
from openkcm_client.envelope import parse
from tests.crypto.own_root import PLUGIN, OwnRoot, refused
from tests.crypto.plane import Inside, one

pytestmark = pytest.mark.integration
HOUR = 3600.0


def calls(verb: str) -> float:
    return float(KEY_STORE_CALLS.labels(PLUGIN, verb, "done")._value.get())


async def told(region: Inside) -> LinkTold:
    [link] = one(await region.run(tell_links, LinksItem())).links
    return link


async def serves(region: Inside, tenant: str = "acme") -> bool:
    try:
        return await region.decrypt(tenant, await region.encrypt(tenant, b"x")) == b"x"
    except Refused:
        return False


async def test_linking_a_root_key_wraps_the_same_service_keys_anew_and_touches_no_data(own: OwnRoot) -> None:
    minted = await own.plane.protect("acme")
    old = await own.plane.local.encrypt("acme", b"before")
    await own.connect("acme")
    renewed = await own.relink("acme", minted)
    l2 = renewed.records[0]
    assert (l2.wrap.parent, l2.wrap.holder) == ("l1:c1", "local")
    fresh = await own.plane.local.encrypt("acme", b"after")
    assert parse(fresh).l3_key_id == parse(old).l3_key_id
    for region in own.regions:
        assert await region.decrypt("acme", old) == b"before"
        assert await region.decrypt("acme", fresh) == b"after"
        [secret] = await region.edit(
            "select count(*) from erase_secrets where key_id = $1", bytes.fromhex(l2.statement.key_id)
        )
        assert secret["count"] == 0  # the platform's root does not wrap it


async def test_without_the_root_key_the_regions_root_and_database_open_nothing(own: OwnRoot) -> None:
    await own.own("acme")
    own.policy = DesiredPolicy(choice=Choice.FAIL_CLOSED)
    await own.decide("acme", own.keys["acme"])
    await own.place.cause("key-deleted", own.connections["acme"])
    await own.open(own.plane.local)
    assert await refused(own.plane.local.encrypt("acme", b"x")) is Refusal.KEY_STORE_REFUSED


async def test_ten_thousand_first_calls_at_once_ask_the_root_key_once(own: OwnRoot) -> None:
    await own.own("acme")
    own.policy = DesiredPolicy(choice=Choice.MEMORY_ONLY)
    await own.decide("acme", own.keys["acme"])
    await own.open(own.plane.local)
    before = calls("unwrap")
    messages = await asyncio.gather(*(own.plane.local.encrypt("acme", b"x") for _ in range(10_000)))
    assert calls("unwrap") - before == 1
    assert await own.plane.local.decrypt("acme", messages[-1]) == b"x"


async def test_a_silent_key_store_is_not_noticed_within_the_window_and_a_restart_goes_on_from_the_lease(
    own: OwnRoot,
) -> None:
    await own.own("acme")
    local = own.plane.local
    await own.asks(local)
    await own.place.cause("unreachable", own.connections["acme"])
    await own.asks(local)
    assert await serves(local)
    link = await told(local)
    assert (link.verdict, link.seen, link.code) == ("serve", ("no-answer",), "unreachable")
    for _ in range(3):
        own.plane.clock.advance(7 * HOUR)
        await own.open(local)
        assert await serves(local)
        await own.asks(local)
    own.plane.clock.advance(4 * HOUR)
    await own.open(local)
    assert await refused(local.encrypt("acme", b"x")) is Refusal.KEY_STORE_SILENT
    await own.place.mend(own.connections["acme"])
    await own.asks(local, after_s=300.0)
    assert await serves(local)


async def test_a_key_that_is_kept_in_memory_only_does_not_outlast_the_process(own: OwnRoot) -> None:
    own.policy = DesiredPolicy(choice=Choice.MEMORY_ONLY)
    await own.own("acme")
    local = own.plane.local
    await own.asks(local)
    assert not list((Path(local.settings.state_directory) / "leases").glob("*.lease"))
    await own.place.cause("unreachable", own.connections["acme"])
    await own.asks(local)
    assert await serves(local)
    assert (await told(local)).verdict == "serve"
    await own.open(local)
    with pytest.raises(Temporary) as found:
        await local.encrypt("acme", b"x")
    assert found.value.refusal is Refusal.KEY_STORE_NO_ANSWER
    link = await told(local)
    assert (link.verdict, link.seen, link.ends_at) == ("window-over", ("no-answer",), None), (
        "nothing works now"
    )
    await own.place.mend(own.connections["acme"])
    await own.asks(local)
    assert await serves(local)
    assert (await told(local)).verdict == "serve"


async def test_a_proven_refusal_stops_every_region_that_hears_it_and_heals_when_the_key_answers(
    own: OwnRoot,
) -> None:
    await own.own("acme")
    await own.place.disable(own.connections["acme"])
    for region in own.regions:
        await own.asks(region)
        assert await serves(region)  # one refusal is doubtful
        await own.asks(region, after_s=6.0)
        assert await refused(region.encrypt("acme", b"x")) is Refusal.KEY_SUSPENDED
        assert (await told(region)).verdict == "suspended"
        assert not list((Path(region.settings.state_directory) / "leases").glob("*.secret"))
        await own.open(region)
        assert not await serves(region)
    await own.place.mend(own.connections["acme"])
    for region in own.regions:
        await own.asks(region, after_s=300.0)
        assert await serves(region)


async def test_a_revoke_during_an_outage_bites_at_once_and_leaves_nothing_that_a_restore_could_use(
    own: OwnRoot,
) -> None:
    await own.own("acme")
    local = own.plane.local
    await own.asks(local)
    await own.place.cause("unreachable", own.connections["acme"])
    await own.asks(local)
    assert await serves(local)
    await own.decide("acme", own.keys["acme"], access="revoked")
    assert await refused(local.encrypt("acme", b"x")) is Refusal.KEY_REVOKED
    assert not list((Path(local.settings.state_directory) / "leases").glob("*.secret"))
    await own.decide("acme", own.keys["acme"])
    assert await refused(local.encrypt("acme", b"x")) is Refusal.KEY_STORE_NO_ANSWER
    await own.place.mend(own.connections["acme"])
    heard = one(await local.run(tell_links, LinksItem()))
    await own.asks(local, after_s=300.0)
    assert await serves(local)
    [link] = one(await local.run(tell_links, LinksItem(run=heard.run, since=heard.number))).links
    assert (link.verdict, link.seen) == ("serve", ()), "or it would be said for ever that it does not answer"


async def test_another_process_of_the_region_hears_of_a_refusal_and_of_the_healing(
    own: OwnRoot, tmp_path: Path
) -> None:
    await own.own("acme")
    local = own.plane.local
    settings = replace(local.settings, state_directory=str(tmp_path / "second"))
    second = Inside(
        name="local",
        identity=local.identity,
        settings=settings,
        owner_dsn=local.owner_dsn,
        world=local.world,
        clock=local.clock,
        pool=local.pool,
    )
    first_watch = own.watches["local"]
    await own.open(second)
    second_watch, own.watches["local"] = own.watches["local"], first_watch
    try:
        assert await serves(second)
        await own.place.disable(own.connections["acme"])
        await own.asks(local)
        await own.asks(local, after_s=6.0)
        assert not await serves(local)
        await second_watch.share()
        assert await refused(second.encrypt("acme", b"x")) is Refusal.KEY_SUSPENDED
        await own.place.mend(own.connections["acme"])
        await own.asks(local, after_s=300.0)
        await second.refresh()
        await second_watch.share()
        assert await serves(second)
    finally:
        await second.here.roots.aclose()
        await second.stores.aclose()
        second.close()


async def test_an_old_word_that_somebody_puts_back_into_the_database_heals_nothing(own: OwnRoot) -> None:
    await own.own("acme")
    local, watch = own.plane.local, own.watches["local"]
    await own.asks(local)
    rows = await local.edit("select * from root_key_answers")
    await own.place.disable(own.connections["acme"])
    await own.asks(local)
    await own.asks(local, after_s=6.0)
    assert not await serves(local)
    await local.edit(
        "update root_key_answers set record = $1, mac = $2, process = 'other', told_at = clock_timestamp()",
        rows[0]["record"],
        rows[0]["mac"],
    )
    await watch.share()
    assert await refused(local.encrypt("acme", b"x")) is Refusal.KEY_SUSPENDED


async def test_a_check_finds_everything_from_where_the_region_stands_and_keeps_nothing(own: OwnRoot) -> None:
    await own.plane.protect("acme")
    await own.connect("acme")
    local = own.plane.local
    item = CheckItem(tenant="acme", connection=own.said("acme"))
    good = one(await local.run(check, item))
    assert {found.level for found in good.findings} == {"ok"}
    assert good.reference == own.connections["acme"].answers["key"]
    await own.place.cause("credential-refused", own.connections["acme"])
    bad = one(await local.run(check, item))
    assert [found.code for found in bad.findings if found.level == "bad"] == ["credential-refused"]
    assert own.connections["acme"].secrets["password"] not in str(bad)


async def test_a_password_that_was_sealed_for_another_address_does_not_open(own: OwnRoot) -> None:
    await own.plane.protect("acme")
    await own.connect("acme")
    said = own.said("acme")
    moved = replace(said, answers={**said.answers, "address": "https://elsewhere.example"})
    with pytest.raises(Permanent, match="not sealed to this region's key, or for another address") as found:
        one(await own.plane.local.run(check, CheckItem(tenant="acme", connection=moved)))
    assert found.value.refusal is Refusal.KEY_STORE_DOUBTFUL


async def test_a_document_that_names_another_root_key_than_the_one_that_wraps_is_refused(
    own: OwnRoot,
) -> None:
    minted = await own.own("acme")
    platform = replace(own.keys["acme"][1], connection="")
    keys = [own.keys["acme"][0], platform, *own.keys["acme"][2:]]
    with pytest.raises(Permanent) as found:
        await own.decide("acme", keys)
    assert found.value.refusal is Refusal.RECORD_MISMATCH
    assert minted.records
