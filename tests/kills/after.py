"""What is true when nobody is killed any more: of the whole installation, and of tenants that were set up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import msgspec

from openkcm.audit.store import chains, verify_stored
from openkcm.audit.verify import Head, Recorded, verify_chain
from openkcm.kernel.db import Role, transaction
from tests.databases import REGIONS
from tests.provisioning.consistent import assert_set_up
from tests.provisioning.processes import until
from tests.provisioning.site import Site

_OPEN = "select tenant, plan, state, trouble::text from sagas where state not in ('done', 'undone')"
# Whoever was sending is dead, and what yields was in its memory: instead of waiting 40 s for the one and 30 s for the
# other. Only what nobody holds is moved.
_NOBODY_SENDS = "update deliveries set lease_until = now() where state = 'pending'"
_NOBODY_HAS = """update sagas set next_at = now() - interval '40 s'
where background and lease_until is null and state = 'running' and next_at > now() - interval '30 s'"""


def wait_quiet(site: Site, *, within_s: float = 60.0) -> None:
    """No saga is open and nothing waits in the outbox."""
    site.rows(_NOBODY_SENDS)

    def quiet() -> bool:
        site.rows(_NOBODY_HAS)
        return not site.rows(_OPEN) and not site.rows("select from outbox")

    try:
        until(quiet, what="no saga is open, nothing waits in the outbox", within_s=within_s, every_s=0.2)
    except AssertionError as late:
        waiting = site.rows("select * from outbox")
        raise AssertionError(f"{late}: {site.rows(_OPEN)} {waiting}") from None


def assert_all_set_up(site: Site, tenants: Sequence[str]) -> None:
    """Each by one effect of each step, with one mail's worth of telling, and every chain whole."""
    assert_set_up(site, *tenants)
    assert_messages_once(site)
    assert_chains_whole(site)


def assert_messages_once(site: Site) -> None:
    """Each event has one message, all that was mailed of it has its one id, and every delivery is settled."""
    rows = site.rows(
        "select recipient, message_id, event, messages.tenant, state "
        "from deliveries join messages on messages.id = message"
    )
    events: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for row in rows:
        events[row["tenant"], row["event"], row["recipient"]].append(row["message_id"])
    assert {key: ids for key, ids in events.items() if len(ids) != 1} == {}
    assert [row for row in rows if row["state"] != "accepted"] == []
    written = {(row["recipient"], row["message_id"]) for row in rows}
    mailed = {(mail.recipient, mail.message_id.strip("<>").split("@")[0]) for mail in site.mail.received()}
    assert mailed == written
    subjects: dict[tuple[str, str], set[str]] = defaultdict(set)
    for mail in site.mail.received():
        subjects[mail.recipient, mail.subject].add(mail.message_id)
    assert {key: ids for key, ids in subjects.items() if len(ids) != 1} == {}


def assert_chains_whole(site: Site) -> None:
    """Every audit chain, control's and each region's, is proven from its first entry to its head."""
    assert site.loop.run(_control_wrong()) == {}
    for region in REGIONS:
        heads = site.rows("select chain, number, hash from audit_heads", database=region)
        entries: dict[str, list[Recorded]] = defaultdict(list)
        for row in site.rows("select * from audit_events order by chain, number", database=region):
            entries[row["chain"]].append(msgspec.convert(row, Recorded))
        assert set(entries) == {row["chain"] for row in heads}
        for head in heads:
            last = Head(number=head["number"], hash=head["hash"])
            assert verify_chain(head["chain"], entries[head["chain"]], last).wrong == "", (region, head)


async def _control_wrong() -> dict[str, str]:
    async with transaction(Role.SYSTEM) as tx:
        proven = {chain: await verify_stored(tx, chain) for chain in await chains(tx)}
    return {chain: each.wrong for chain, each in proven.items() if each.wrong}
