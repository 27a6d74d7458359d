"""A call has many items and as many outcomes, in order: the form in which control's calls to a region travel."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from openkcm.sdk.refusals import Refused

MAX_ITEMS = 100
T = TypeVar("T")


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Why one item was refused: a code of ``openkcm.sdk.refusals.Refusal`` and plain words; temporary or not."""

    refusal: str
    message: str
    temporary: bool = False
    retry_after_s: float | None = None


class Outcome(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """What became of one item: exactly one of ``done`` and ``fault`` is set."""

    done: T | None = None
    fault: Fault | None = None


class Answer(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """The outcomes in the order of the items, and what the region holds altogether.

    ``tenants`` counts the applied documents, ``digest`` is the XOR of their ``document_digest`` (64 hex digits).
    """

    outcomes: tuple[Outcome[T], ...]
    region: str
    epoch: int
    tenants: int
    digest: str


class Call(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """A request: 1 to 100 items of one kind."""

    items: tuple[T, ...]


def fault_of(refused: Refused) -> Fault:
    """The refusal as it travels: without its remedy, which each side knows for itself."""
    return Fault(
        refusal=refused.refusal.value,
        message=refused.message,
        temporary=refused.temporary,
        retry_after_s=refused.retry_after_s,
    )


def again(refused: Refused) -> Refused:
    """The same refusal for one more who waits: one object shared by many would gather their tracebacks."""
    return type(refused)(
        refused.refusal, refused.message, remedy=refused.remedy, retry_after_s=refused.retry_after_s
    )
