"""What control believes of a region's answer about uses: that it is to what was asked, and can be shown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from openkcm.crypto.contract import (
    MAX_USES,
    CallersItem,
    CallersTold,
    UseChainItem,
    UseChainTold,
    UseEntry,
    UsesItem,
    UsesTold,
)
from openkcm.crypto.contract_uses import MAX_STEPS
from openkcm.sdk.plain_text import display_text

MAX_WORD_CHARACTERS: Final = 200
MAX_DETAIL_BYTES: Final = 2000
_ADDRESS: Final = re.compile(r"https?://[a-z0-9.:\[\]-]{1,300}", re.IGNORECASE)


def uses_belong(item: UsesItem, told: UsesTold) -> bool:
    """They are this tenant's, of the time that was asked for, newest first, and go on where the reader was."""
    places = [(entry.at, entry.chain, entry.number) for entry in told.entries]
    before = item.before
    return (
        told.tenant == item.tenant
        and len(told.entries) <= item.limit
        and len(told.sums) <= MAX_STEPS + 1
        and bool(told.entries or not told.more)
        and all(entry.chain.startswith(f"{item.tenant}/") for entry in told.entries)
        and all(item.since <= entry.at < item.until for entry in told.entries)
        and places == sorted(set(places), reverse=True)
        and (before is None or all(place < (before.at, before.chain, before.number) for place in places))
        and all(one.done >= 0 and one.refused >= 0 for one in told.sums)
        and _can_be_shown(told.entries)
    )


def use_chain_belongs(item: UseChainItem, told: UseChainTold) -> bool:
    """They are of this chain and follow each other; whether they are unchanged is found by sealing them again."""
    numbers = [entry.number for entry in told.entries]
    start = told.start.number
    return (
        told.chain == item.chain
        and len(numbers) <= MAX_USES
        and item.after <= start
        and numbers == sorted(set(numbers))
        and all(start < number <= item.until for number in numbers)
        and all(entry.chain == item.chain for entry in told.entries)
        and _can_be_shown(told.entries)
    )


def callers_belong(item: CallersItem, told: CallersTold) -> bool:
    """They are this tenant's, each was asked for and is told once, and the address is one, or none."""
    names = [last.caller for last in told.last]
    words = [word for last in told.last for word in (last.verb, last.outcome)]
    return (
        told.tenant == item.tenant
        and (not told.address or _ADDRESS.fullmatch(told.address) is not None)
        and len(names) == len(set(names))
        and set(names) <= set(item.callers)
        and all(last.at.tzinfo is not None for last in told.last)
        and all(_is_word(word) for word in words)
    )


def _is_word(word: str) -> bool:
    return word == display_text(word, max_characters=MAX_WORD_CHARACTERS)


def _can_be_shown(entries: Sequence[UseEntry]) -> bool:
    return all(
        len(entry.detail) <= MAX_DETAIL_BYTES
        and all(_is_word(word) for word in (entry.actor, entry.verb, entry.object, entry.outcome, entry.hash))
        for entry in entries
    )
