"""The page of uses: what the regions of this account tell, put together."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from openkcm.crypto.contract import Regions, UseEntry
from openkcm.dashboard.uses_asked import PERIODS, USUAL, Sent, UsesAsked, place_of, query
from openkcm.dashboard.uses_view import VERBS, Bar, Choice, Filter, Picture, Silent, UseLine, UsesPage
from openkcm.kernel.db import Role
from openkcm.sdk.plain_text import display_text
from openkcm.sdk.refusals import Remedy
from openkcm.uses.look import Looked, Sum, look
from openkcm.uses.rows import count_of
from openkcm.uses.stored import region_set
from openkcm.web import figures, paths
from openkcm.web.shell import Account

OUTCOMES: Final = (("", "All"), ("done", "Done"), ("refused", "Refused"))
_HEIGHT: Final = 100
_BAR: Final = 10
_SEEN: Final = 3
_UNKNOWN: Final = Remedy(
    "Look again in a moment. Nothing is lost: each region keeps what was used there.",
    "Nobody has to do anything; if it lasts, whoever runs this installation",
    "operate/regions",
)


async def uses_page(account: Account, regions: Regions, asked: UsesAsked) -> UsesPage:
    """The uses of this time as the regions that answer tell them, with the account's own rights."""
    names = await region_set(Role.APP, account.id)
    chosen = [name for name in names if name == asked.sent.region] if asked.sent.region else list(names)
    looked = await look(regions, chosen, asked.item)
    return made_page(account, asked, looked, all_regions=names, chosen=chosen)


def made_page(
    account: Account, asked: UsesAsked, looked: Looked, *, all_regions: Sequence[str], chosen: Sequence[str]
) -> UsesPage:
    """The page of what was found."""
    at, sent = paths.uses(account.id), asked.sent
    after = looked.after
    # Paging goes through what was there when the first page was looked at.
    fixed = {"until": asked.until.isoformat(), "since": asked.since.isoformat()}
    return UsesPage(
        account=account,
        filter=_filter(asked, all_regions),
        since=asked.since,
        until=asked.until,
        lines=tuple(_line(entry) for entry in looked.entries),
        picture=_picture(asked, looked.sums) if looked.sums else None,
        silent=tuple(
            Silent(region=name, why=display_text(why, max_characters=200))
            for name, why in looked.silent.items()
        ),
        regions=len(chosen),
        newest=f"{at}?{query(sent, before='')}" if sent.before else "",
        older=f"{at}?{query(sent, before=place_of(after), **fixed)}" if after else "",
        exports=(
            ("Uses, CSV", _export(account.id, sent, "uses", "csv", fixed)),
            ("Uses, JSON Lines", _export(account.id, sent, "uses", "jsonl", fixed)),
            ("Decisions, CSV", _export(account.id, Sent(), "config", "csv", {})),
            ("Decisions, JSON Lines", _export(account.id, Sent(), "config", "jsonl", {})),
        ),
        remedy=_UNKNOWN,
    )


def _export(tenant: str, sent: Sent, of: str, form: str, fixed: dict[str, str]) -> str:
    times = query(Sent(), **fixed) if sent.since or sent.until or fixed else ""
    return f"{paths.uses_export(tenant)}?of={of}&form={form}" + (f"&{times}" if times else "")


def _line(entry: UseEntry) -> UseLine:
    service, _, key_id = entry.object.partition("/")
    _, region, process = entry.chain.split("/", 2)
    return UseLine(
        at=entry.at,
        who=entry.actor.removeprefix("caller:") if entry.actor.startswith("caller:") else "",
        what=VERBS.get(entry.verb, entry.verb),
        service=service,
        key_id=key_id,
        outcome=entry.outcome,
        count=count_of(entry.detail),
        region=region,
        entry=f"{process}/{entry.number}",
    )


def _filter(asked: UsesAsked, regions: Sequence[str]) -> Filter:
    sent = asked.sent
    ranged = bool(sent.since or sent.until)
    period = "" if ranged else sent.period if sent.period in PERIODS else USUAL
    outcomes: tuple[tuple[str, str], ...] = OUTCOMES
    if sent.outcome and sent.outcome not in {value for value, _ in OUTCOMES} and "outcome" not in asked.wrong:
        outcomes = (*OUTCOMES, (sent.outcome, sent.outcome))
    return Filter(
        periods=(
            *(_choice(name, words, period) for name, (words, _) in PERIODS.items()),
            *((Choice(value="", words="From … to", picked=True),) if ranged else ()),
        ),
        outcomes=tuple(_choice(value, words, sent.outcome) for value, words in outcomes),
        regions=(_choice("", "All", sent.region), *(_choice(name, name, sent.region) for name in regions)),
        verbs=tuple(_choice(value, words, sent.verb) for value, words in VERBS.items()),
        verb=sent.verb,
        caller=sent.caller,
        service=sent.service,
        key=sent.key,
        since=_local(asked.since) if ranged else "",
        until=_local(asked.until) if ranged else "",
        wrong=asked.wrong,
    )


def _picture(asked: UsesAsked, sums: Sequence[Sum]) -> Picture:
    step = timedelta(seconds=asked.step_s)
    by_step = {one.at: one for one in sums}
    first = min(*by_step, _floor(asked.since, asked.step_s))
    steps = int((asked.until - first) / step) + 1
    top = max(max(one.done, one.refused) for one in sums)
    bars = []
    for number in range(steps):
        one = by_step.get(first + number * step)
        if one is not None:
            bars.append(_bar(number, one, top, asked.step_s))
    most = max(sums, key=lambda one: one.done + one.refused)
    return Picture(
        bars=tuple(bars),
        width=steps * _BAR,
        height=_HEIGHT + max(bar.refused for bar in bars) + 10,
        line=_HEIGHT + 5,
        done=sum(one.done for one in sums),
        refused=sum(one.refused for one in sums),
        step=figures.duration(asked.step_s),
        most=_when(most.at, asked.step_s),
    )


def _bar(number: int, one: Sum, top: int, step_s: int) -> Bar:
    words = f"{_when(one.at, step_s)}: {figures.number(one.done)} done, {figures.number(one.refused)} refused"
    return Bar(x=number * _BAR, done=_height(one.done, top), refused=_height(one.refused, top), words=words)


def _height(value: int, top: int) -> int:
    """In the picture's units; what is there at all is seen."""
    return max(_SEEN, round(_HEIGHT * value / top)) if value else 0


def _when(at: datetime, step_s: int) -> str:
    return figures.date(at) if step_s >= 86_400 else figures.minute(at)


def _floor(at: datetime, step_s: int) -> datetime:
    seconds = int(at.timestamp()) // step_s * step_s
    return datetime.fromtimestamp(seconds, at.tzinfo)


def _local(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M}"


def _choice(value: str, words: str, picked: str) -> Choice:
    return Choice(value=value, words=words, picked=value == picked)
