"""How root keys answer, as regions tell it: stored, audited, told to owner and operator once for each change."""

from __future__ import annotations

import html
from datetime import timedelta

import pytest

from openkcm.crypto.contract import LinksTold, LinkTold
from openkcm.kernel.db import Role, transaction
from openkcm.keychain.states import KeyVerb
from openkcm.keystores.links import note_links
from openkcm.keystores.told import Telling
from openkcm.keystores.view import HealthLine, shown_key_stores
from openkcm.keystores.watch import Watch
from openkcm.sdk.refusals import Refusal, Temporary
from tests.activation.parts import OWNER, TENANT
from tests.control import rows
from tests.keystores.parts import OwnRoots

pytestmark = pytest.mark.integration
SUBJECTS = {
    Refusal.KEY_STORE_DOUBTFUL: "gives a doubtful answer",
    Refusal.KEY_SUSPENDED: "nothing works, the key store refused",
    Refusal.KEY_STORE_SILENT: "nothing works, the key store is silent",
}


@pytest.fixture
async def watch(own: OwnRoots) -> Watch:
    """The tenant's keys are under a root key of its own, which answers both regions."""
    await own.keys.do(KeyVerb.RELINK, connection=await own.good())
    declarations = {name: each.declaration for name, each in own.connecting.stores.plugins.items()}
    telling = Telling(
        declarations=declarations, public_url="https://keys.example/", operator="ops@example.org"
    )
    made = Watch(regions=own.keys.regions, telling=telling, clock=own.keys.clock)
    for region in (own.local, own.eu):
        region.tell(await way(own))
    await made.once()
    return made


async def way(
    own: OwnRoots, verdict: str = "serve", *seen: str, code: str = "", ends_s: float = 0.0
) -> LinkTold:
    key = (await own.keys.keys())[1]
    now = own.keys.clock.now()
    return LinkTold(
        tenant=TENANT,
        key_id=key.key_id,
        connection=key.connection,
        verdict=verdict,  # type: ignore[arg-type]  # one of its words
        seen=seen,
        code=code,
        proved_at=now,
        ends_at=now + timedelta(seconds=ends_s) if ends_s else None,
    )


async def mails() -> list[tuple[str, str, str]]:
    """(whose, tone, subject) of every message, in order."""
    found = await rows("select tenant, tone, subject from messages order by id")
    return [(str(row["tenant"]), str(row["tone"]), str(row["subject"])) for row in found]


async def audited() -> list[tuple[str, str]]:
    found = await rows(
        "select verb, outcome from audit_events where verb like 'keystores:link:%' order by number"
    )
    return [(str(row["verb"]).rpartition(":")[2], str(row["outcome"])) for row in found]


async def health(own: OwnRoots) -> dict[str, HealthLine]:
    (line,) = (await shown_key_stores(TENANT, own.connecting.stores)).connections
    return {each.region: each for each in line.health}


async def test_a_key_store_that_does_not_answer_is_told_once_and_its_healing_closes_it(
    own: OwnRoots, watch: Watch
) -> None:
    assert await mails() == []
    for region in (own.local, own.eu):
        region.tell(await way(own, "serve", "no-answer", code="timeout", ends_s=3600))
    for _ in range(3):
        await watch.once()
    silent = "Account-Acme: the key store does not answer"
    assert await mails() == [(TENANT, "warn", silent), ("", "warn", silent)]
    (text,) = await rows("select text from messages where tenant = $1", TENANT)
    words = " ".join(str(text["text"]).split())
    for part in (
        "Key store in memory, asked by eu-1 and local",
        "The store did not answer in time.",
        "What still works: everything, until",
        "Wait for it. By whom: operator",
        "https://keys.example/t/acme/root-key",
    ):
        assert part in words
    assert await rows("select recipient from deliveries order by recipient") == [
        {"recipient": OWNER},
        {"recipient": "ops@example.org"},
    ]
    own.local.tell(await way(own))
    await watch.once()
    assert (await mails())[2:] == [
        (TENANT, "ok", "Account-Acme: the key store answers again"),
        ("", "ok", "Account-Acme: the key store answers again"),
    ]
    (healed,) = await rows("select text from messages where tone = 'ok' and tenant = $1", TENANT)
    assert "Not yet: eu-1." in str(healed["text"])
    assert await audited() == [
        ("fail", "key-store-no-answer"),
        ("fail", "key-store-no-answer"),
        ("heal", "done"),
    ]
    found = await health(own)
    assert (found["local"].condition, found["eu-1"].condition) == ("fine", "no-answer")
    assert (found["eu-1"].said, found["eu-1"].who) == ("The store did not answer in time.", "operator")


@pytest.mark.parametrize(
    ("verdict", "seen", "code", "outcome"),
    [
        ("serve", "doubtful", "credential-expired", Refusal.KEY_STORE_DOUBTFUL),
        ("suspended", "refused", "key-disabled", Refusal.KEY_SUSPENDED),
        ("window-over", "no-answer", "timeout", Refusal.KEY_STORE_SILENT),
    ],
)
async def test_each_kind_of_no_is_told_in_its_own_words(
    own: OwnRoots, watch: Watch, verdict: str, seen: str, code: str, outcome: Refusal
) -> None:
    own.eu.tell(await way(own, verdict, seen, code=code))
    await watch.once()
    assert await audited() == [("fail", outcome)]
    owner, operator = await mails()
    assert SUBJECTS[outcome] in owner[2]
    assert operator == ("", owner[1], owner[2])
    (text,) = await rows("select text, html from messages where tenant = $1", TENANT)
    documented = own.connecting.stores.plugins["memory"].declaration.answer(code)
    assert documented is not None
    for part in (documented.says, documented.remedy.action, documented.remedy.who):
        assert part in str(text["text"])
        assert part in html.unescape(str(text["html"]))


async def test_from_one_kind_of_no_to_the_next_each_is_told(own: OwnRoots, watch: Watch) -> None:
    for verdict, seen in (
        ("serve", ("no-answer",)),
        ("serve", ("no-answer", "doubtful")),
        ("suspended", ("refused",)),
        ("serve", ()),
    ):
        own.eu.tell(await way(own, verdict, *seen))
        await watch.once()
        await watch.once()
    told = [tone for whose, tone, _ in await mails() if whose]
    assert told == ["warn", "warn", "bad", "ok"]


async def test_a_store_that_answers_every_other_call_floods_nobody(own: OwnRoots, watch: Watch) -> None:
    for _ in range(10):
        own.eu.tell(await way(own, "serve", "no-answer"))
        await watch.once()
        own.keys.clock.advance(10)
        own.eu.tell(await way(own))
        await watch.once()
        own.keys.clock.advance(10)
    assert len([whose for whose, _, _ in await mails() if whose]) == 2
    own.eu.tell(await way(own, "serve", "no-answer"))
    await watch.once()
    own.keys.clock.advance(61)
    await watch.once()
    assert len([whose for whose, _, _ in await mails() if whose]) == 3


async def test_a_worker_that_begins_anew_tells_nothing_twice(own: OwnRoots, watch: Watch) -> None:
    own.eu.tell(await way(own, "serve", "no-answer"))
    await watch.once()
    before = await mails()
    anew = Watch(regions=own.keys.regions, telling=watch.telling, clock=own.keys.clock)
    await anew.once()
    assert own.eu.items[-1].run == ""
    await anew.once()
    assert (own.eu.items[-1].run, own.eu.items[-1].since) == ("run", own.eu.number)
    assert await mails() == before


async def test_a_region_speaks_of_keys_of_its_own_tenants_and_ways_alone(own: OwnRoots, watch: Watch) -> None:
    mine = await way(own, "suspended", "refused")
    other = (await own.keys.keys())[0]
    for link in (
        LinkTold(tenant="other", key_id=mine.key_id, connection=mine.connection, verdict="suspended"),
        LinkTold(tenant=TENANT, key_id=mine.key_id, connection="c-other", verdict="suspended"),
        LinkTold(tenant=TENANT, key_id=other.key_id, connection="", verdict="suspended"),
        LinkTold(tenant=TENANT, key_id="f" * 32, connection=mine.connection, verdict="suspended"),
    ):
        own.eu.told = {link.key_id: link}
        own.eu.number += 1
        await watch.once()
    assert await mails() == []
    told = LinksTold(run="run", number=99, whole=True, links=(mine,))
    await own.keys.edit("delete from tenant_regions where region = 'eu-1'")
    async with transaction(Role.SYSTEM) as tx:
        assert await note_links(tx, "eu-1", told, now=own.keys.clock.now()) == []
        assert await note_links(tx, "local", told, now=own.keys.clock.now()) == [TENANT]


async def test_the_key_that_was_followed_by_another_alarms_nobody(own: OwnRoots, watch: Watch) -> None:
    old = await way(own, "suspended", "refused")
    await own.keys.do(KeyVerb.RELINK)
    own.eu.tell(old)
    await watch.once()
    assert await mails() == []
    assert (await health(own))["eu-1"].condition == "suspended"


async def test_a_region_that_does_not_answer_changes_nothing_and_stops_nobody(
    own: OwnRoots, watch: Watch
) -> None:
    own.local.failure = Temporary(Refusal.REGION_UNAVAILABLE, "Region local is not available.")
    own.eu.tell(await way(own, "serve", "no-answer"))
    await watch.once()
    found = await health(own)
    assert (found["local"].condition, found["eu-1"].condition) == ("fine", "no-answer")


async def test_where_every_root_key_is_the_platforms_no_region_is_asked(own: OwnRoots) -> None:
    await Watch(
        regions=own.keys.regions,
        telling=Telling(declarations={}, public_url="", operator=""),
        clock=own.keys.clock,
    ).once()
    assert own.eu.items == []
