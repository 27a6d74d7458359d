"""The page of uses in every state."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from openkcm.crypto.contract import UseEntry
from openkcm.dashboard.uses import made_page
from openkcm.dashboard.uses_asked import Sent, asked
from openkcm.dashboard.uses_view import UsesPage
from openkcm.uses.look import Looked, Sum
from openkcm.web.shell import Account
from tests.web.content import ACCOUNT, HOSTILE, NOW

REGIONS = ("Dublin", "Frankfurt", "Stockholm")
KEY = "3f9c0a77b1e24d58" * 2
OTHER_KEY = "a81d4e60cc927f03" * 2


def entry(
    number: int,
    verb: str = "encrypt",
    *,
    actor: str = "caller:shop",
    object_: str = f"default/{KEY}",
    outcome: str = "done",
    count: int = 1,
    region: str = "Frankfurt",
    tenant: str = ACCOUNT.id,
) -> UseEntry:
    return UseEntry(
        chain=f"{tenant}/{region}/4be1c09d22f7a615",
        number=number,
        at=NOW - timedelta(seconds=10 * (100 - number)),
        actor=actor,
        verb=verb,
        object=object_,
        outcome=outcome,
        detail=msgspec.json.encode({"count": count}),
        hash="0" * 64,
    )


ENTRIES = (
    entry(99, count=128_490),
    entry(98, "decrypt", count=1_204, region="Dublin"),
    entry(97, "decrypt", outcome="ciphertext-invalid", object_="default/", actor="caller:billing-batch"),
    entry(96, "data-keys", count=12, object_=f"documents/{OTHER_KEY}"),
    entry(
        95,
        "encrypt",
        outcome="key-revoked",
        count=4_121,
        object_=f"documents/{OTHER_KEY}",
        region="Stockholm",
    ),
    entry(94, "unwrap", actor="region:4be1c09d22f7a615", object_=f"/{KEY}"),
    entry(93, "load-lease", actor="region:4be1c09d22f7a615", object_=f"/{KEY}"),
    entry(92, "drop", actor="region:4be1c09d22f7a615", object_="", count=77),
)
SUMS = tuple(
    Sum(
        at=(NOW - timedelta(hours=hour)).replace(minute=0, second=0, microsecond=0),
        done=done,
        refused=refused,
    )
    for hour, done, refused in sorted(
        (
            (23, 8_100, 0),
            (20, 12_400, 3),
            (14, 55_000, 0),
            (9, 128_000, 41),
            (3, 40_200, 4_121),
            (0, 61_000, 9),
        ),
        reverse=True,
    )
)


def uses(
    *,
    sent: Sent | None = None,
    entries: tuple[UseEntry, ...] = ENTRIES,
    sums: tuple[Sum, ...] = SUMS,
    silent: dict[str, str] | None = None,
    more: bool = False,
    account: Account = ACCOUNT,
) -> UsesPage:
    wanted = asked(account.id, sent or Sent(), now=NOW)
    chosen = [wanted.sent.region] if wanted.sent.region in REGIONS else list(REGIONS)
    looked = Looked(entries=entries, more=more, sums=sums, silent=silent or {})
    return made_page(account, wanted, looked, all_regions=REGIONS, chosen=chosen)


_DOWN = "Region 'Stockholm' is not available: it cannot be reached, or does not take our certificate."
USES: dict[str, UsesPage] = {
    "uses": uses(more=True),
    "uses-older": uses(
        sent=Sent(before=f"{int(NOW.timestamp() * 1_000_000)}~Frankfurt/p~7".lower()), sums=(), more=True
    ),
    "uses-empty": uses(entries=(), sums=()),
    "uses-narrowed": uses(
        sent=Sent(
            since="2026-11-20T00:00",
            until="2026-11-24T12:00",
            caller="billing-batch",
            key=KEY,
            outcome="ciphertext-invalid",
            verb="decrypt",
            region="Frankfurt",
        ),
        entries=ENTRIES[2:3],
    ),
    "uses-wrong": uses(
        sent=Sent(caller="A Caller!", key="12", since="yesterday", verb="DROP TABLE", service="<x>"),
        entries=(),
    ),
    "uses-one-silent": uses(silent={"Stockholm": _DOWN}),
    "uses-nobody": uses(entries=(), sums=(), silent=dict.fromkeys(REGIONS, _DOWN)),
    "uses-hostile": uses(
        account=HOSTILE,
        entries=(
            entry(
                1, "<script>", actor='caller:"><b>', object_="<i>/<u>", outcome="<p>" * 40, tenant=HOSTILE.id
            ),
        ),
        silent={"<h1>": "<script>alert(1)</script>"},
    ),
}
