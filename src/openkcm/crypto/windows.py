"""Outage is not revocation: what may be done with a tenant's key while its root key does not answer. Pure.

Three classes of answers, and one rule: all windows run from the last proof that the key answered, the shortest that
any class seen since gives applies, and a change of class starts nothing anew. Only a proven refusal stops at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from openkcm.crypto.bounds import CONFIRM_S, LATE_S, Policy
from openkcm.crypto.moments import Moment, passed_s
from openkcm.sdk.key_store import Outage
from openkcm.sdk.refusals import Permanent, Refusal, Refused, Remedy, Temporary

_PAGE: Final = "how-it-works/outage"
_LATEST_S: Final = 2 * CONFIRM_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What one call to a root key came to, or, with ``outage`` None, that the key answered.

    ``proven``: the same refusal came twice, 5 s apart, with a fresh session. ``code`` is the plugin's own code,
    ``identity`` names the credentials that the call was made with, whoever else uses them.
    """

    key_id: str
    tenant: str
    identity: str
    outage: Outage | None = None
    code: str = ""
    proven: bool = False


class Link(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What is known of the way to one root key: when it last answered, and what came instead since then.

    ``refused`` is when the call was sent whose answer suspended it.
    """

    proved: Moment
    seen: frozenset[Outage] = frozenset()
    suspended: bool = False
    refused: Moment | None = None

    def answered(self, sent: Moment) -> Link:
        """The key answered a call that was sent at ``sent``: everything else is over, but a refusal of a later call.

        Calls may end in another order than they began in, and a sibling's word may be as old as a row is believed.
        """
        if self.suspended and self.refused is not None and _sent_before(sent, self.refused):
            return self
        return Link(proved=sent)

    def failed(self, heard: Heard, sent: Moment, *, shared: bool = False) -> Link:
        """A call that was sent at ``sent`` met something else than an answer.

        A call from before the last proof says nothing new. A refusal that others meet too (``shared``, see
        ``is_shared``) or that is not proven yet is doubtful.
        """
        if sent.run == self.proved.run and sent.monotonic < self.proved.monotonic:
            return self
        if heard.outage is Outage.REFUSED and heard.proven and not shared:
            return self.refused_by(sent)
        seen = Outage.NO_ANSWER if heard.outage is Outage.NO_ANSWER else Outage.DOUBTFUL
        return msgspec.structs.replace(self, seen=self.seen | {seen})

    def refused_by(self, sent: Moment) -> Link:
        """A call that was sent at ``sent`` proved that the key refuses."""
        return msgspec.structs.replace(self, seen=self.seen | {Outage.REFUSED}, suspended=True, refused=sent)

    def answered_after(self, refused: Moment) -> bool:
        """Whether the last proof that the key answered is of a later call, by the database's clock if it was heard."""
        return (self.proved.database or self.proved.wall) > (refused.database or refused.wall)


def is_shared(refusal: Heard, others: Iterable[Heard]) -> bool:
    """Whether another tenant's key got the same refusal through the same identity, by the last it was heard of.

    Then the mistake may well be ours (a role that lost a right looks the same), so it proves nothing.
    """
    return any(
        other.outage is Outage.REFUSED
        and (other.identity, other.code) == (refusal.identity, refusal.code)
        and other.tenant != refusal.tenant
        for other in others
    )


class Verdict(StrEnum):
    """What may be done with a tenant's keys."""

    SERVE = "serve"
    SUSPENDED = "suspended"
    """The key store refused, proven. It heals when the key answers."""
    WINDOW_OVER = "window-over"
    """The key store has not answered for longer than the tenant allows."""
    CUT_OFF = "cut-off"
    """Control has not been agreed with for longer than the tenant allows."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict; ``left_s`` is for how long it serves if nothing else happens, 0 where it does not."""

    verdict: Verdict
    left_s: float = 0.0

    def check(self) -> None:
        """The key may be used.

        Raises:
            Permanent: KEY_SUSPENDED.
            Temporary: KEY_STORE_SILENT or CUT_OFF.
        """
        if self.verdict is not Verdict.SERVE:
            raise _refusal(self.verdict)


def window_s(seen: frozenset[Outage], policy: Policy) -> float:
    """How long after the last proof the key may be used: the shortest window of the classes seen since.

    Where nothing was seen nobody has asked lately; that is no answer, as soon as a probe is late.
    """
    if not seen:
        return max(policy.window_s, LATE_S)
    return min(policy.window_s if outage is Outage.NO_ANSWER else policy.doubt_s for outage in seen)


def store_decision(link: Link, policy: Policy, now: Moment, mark: datetime | None) -> Decision:
    """What the state of the root key allows at ``now``; ``mark`` as in ``moments.passed_s``."""
    if link.suspended:
        return Decision(Verdict.SUSPENDED)
    return _within(window_s(link.seen, policy), link.proved, now, mark, over=Verdict.WINDOW_OVER)


def control_decision(agreed: Moment | None, policy: Policy, now: Moment, mark: datetime | None) -> Decision:
    """What the last agreement with control allows; without one, nothing."""
    if agreed is None:
        return Decision(Verdict.CUT_OFF)
    return _within(policy.governance_s, agreed, now, mark, over=Verdict.CUT_OFF)


def both(one: Decision, other: Decision) -> Decision:
    """What two decisions allow together: either can stop it, and the first that ends, ends it."""
    if one.verdict is not Verdict.SERVE:
        return one
    if other.verdict is not Verdict.SERVE:
        return other
    return min(one, other, key=lambda decision: decision.left_s)


def _sent_before(sent: Moment, refused: Moment) -> bool:
    """By the clock of the one run, or by the clocks that both runs had: where those say more than any call or word can
    be late, they were set back, and the answer counts.
    """
    if sent.run == refused.run:
        return sent.monotonic < refused.monotonic
    later_s = ((refused.database or refused.wall) - (sent.database or sent.wall)).total_seconds()
    return 0 < later_s <= _LATEST_S


def _within(window: float, since: Moment, now: Moment, mark: datetime | None, *, over: Verdict) -> Decision:
    left_s = window - passed_s(since, now, mark)
    return Decision(Verdict.SERVE, left_s) if left_s > 0 else Decision(over)


def _refusal(verdict: Verdict) -> Refused:
    if verdict is Verdict.SUSPENDED:
        return Permanent(
            Refusal.KEY_SUSPENDED,
            "The customer's key store refuses the use of this tenant's root key, so its keys are not used.",
            remedy=Remedy("Allow the use of the root key again; it heals by itself then.", "owner", _PAGE),
        )
    if verdict is Verdict.WINDOW_OVER:
        return Temporary(
            Refusal.KEY_STORE_SILENT,
            "The customer's key store has not answered for longer than this tenant's choice allows.",
            remedy=Remedy("Find out why the key store does not answer.", "owner", _PAGE),
            retry_after_s=20.0,
        )
    return Temporary(
        Refusal.CUT_OFF,
        "This region has not agreed with control for longer than this tenant's choice allows.",
        remedy=Remedy("Find out why control does not reach this region.", "operator", _PAGE),
        retry_after_s=5.0,
    )
