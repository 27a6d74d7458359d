"""What the page of uses is asked for: its address read, and made. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlencode

import msgspec

from openkcm.crypto.contract import Before, UsesItem

LIMIT: Final = 50
LONGEST: Final = timedelta(days=800)
#: Period by its name: how long, and how long a step of the picture is.
PERIODS: Final = {
    "1h": ("Last hour", timedelta(hours=1)),
    "24h": ("Last 24 hours", timedelta(hours=24)),
    "7d": ("Last 7 days", timedelta(days=7)),
    "30d": ("Last 30 days", timedelta(days=30)),
}
USUAL: Final = "24h"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_WORD: Final = re.compile(r"[a-z][a-z/-]{0,62}")
_KEY: Final = re.compile(r"[0-9a-f]{32}")
_FORMS: Final = (
    ("caller", _NAME, "A caller's name: small letters, digits and hyphens."),
    ("service", _NAME, "A service's name: small letters, digits and hyphens."),
    ("key", _KEY, "A whole key id: 32 hex digits."),
    ("verb", _WORD, "One word, such as encrypt."),
    ("outcome", _WORD, "One of the list."),
    ("region", _NAME, "One of the list."),
)
_BEFORE: Final = re.compile(r"(\d{1,18})~([a-z0-9-]{1,63})/([a-z0-9-]{1,63})~(\d{1,15})")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of the address, as they were sent."""

    period: str = ""
    since: str = ""
    until: str = ""
    caller: str = ""
    service: str = ""
    key: str = ""
    verb: str = ""
    outcome: str = ""
    region: str = ""
    before: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsesAsked:
    """What is looked for; ``wrong`` says of fields that make no sense what is not right, and they count for nothing."""

    sent: Sent
    since: datetime
    until: datetime
    item: UsesItem
    wrong: dict[str, str] = field(default_factory=dict)

    @property
    def step_s(self) -> int:
        """How long a step of the picture is: 5 min, an hour, a day."""
        span = self.until - self.since
        return 300 if span <= timedelta(hours=3) else 3600 if span <= timedelta(days=8) else 86_400


def asked(tenant: str, sent: Sent, *, now: datetime) -> UsesAsked:
    """What the address asks for, at this time."""
    sent = _trimmed(sent)
    wrong = {
        name: words
        for name, form, words in _FORMS
        if (given := getattr(sent, name)) and not form.fullmatch(given)
    }
    since, until = _range(sent, now, wrong)
    item = UsesItem(
        tenant=tenant,
        since=since,
        until=until,
        before=_before(tenant, sent.before),
        limit=LIMIT,
        **{
            name: getattr(sent, name)
            for name in ("caller", "service", "key", "verb", "outcome")
            if name not in wrong
        },
    )
    found = UsesAsked(sent=sent, since=since, until=until, item=item, wrong=wrong)
    return replace(found, item=msgspec.structs.replace(item, step_s=found.step_s))


def query(sent: Sent, **changes: str) -> str:
    """The address's query with these fields; what is empty is left out."""
    fields = msgspec.to_builtins(msgspec.structs.replace(sent, **changes))
    return urlencode({name: value for name, value in fields.items() if value})


def place_of(before: Before) -> str:
    """Where a page begins, as an address has it."""
    microseconds = (before.at - _EPOCH) // timedelta(microseconds=1)
    return f"{microseconds}~{before.chain.split('/', 1)[1]}~{before.number}"


def _before(tenant: str, given: str) -> Before | None:
    found = _BEFORE.fullmatch(given)
    if found is None:
        return None
    at = _EPOCH + timedelta(microseconds=int(found[1]))
    return Before(at=at, chain=f"{tenant}/{found[2]}/{found[3]}", number=int(found[4]))


def _range(sent: Sent, now: datetime, wrong: dict[str, str]) -> tuple[datetime, datetime]:
    length = PERIODS.get(sent.period, PERIODS[USUAL])[1]
    until = _time(sent.until, "until", wrong) or now
    since = _time(sent.since, "since", wrong) or until - length
    if since >= until:
        wrong["since"] = "This is after the end."
        since = until - length
    if until - since > LONGEST:
        wrong["since"] = "At most 800 days are shown at once."
        since = until - LONGEST
    return since, until


def _time(given: str, name: str, wrong: dict[str, str]) -> datetime | None:
    if not given:
        return None
    try:
        at = datetime.fromisoformat(given)
    except ValueError:
        wrong[name] = "A time in UTC, as 2026-11-24T13:00."
        return None
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    if not 1970 < at.year < 9999:
        wrong[name] = "A time in UTC, as 2026-11-24T13:00."
        return None
    return at.astimezone(UTC)


def _trimmed(sent: Sent) -> Sent:
    return Sent(**{name: getattr(sent, name).strip() for name in Sent.__struct_fields__})
