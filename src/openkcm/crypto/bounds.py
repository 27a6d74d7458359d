"""How long anything may go on after somebody cut it off: a tenant's choice, and what follows from it at worst. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from openkcm.sdk.refusals import Permanent, Refusal, Remedy

LONGEST_WINDOW_S: Final = 86_400.0
"""No window is longer, and no lease secret gets older before it is deleted."""
PROBE_S: Final = 20.0
"""How often a key is asked whether it still answers."""
PROOF_APART_S: Final = 5.0
"""Two refusals so far apart, with a fresh session, are the proof of a refusal."""
CALL_S: Final = 5.0
"""How long a call to a key store may take before its host is killed."""
LATE_S: Final = 30.0
"""A key that nobody asked for so long is as one that did not answer."""
PUSH_S: Final = 2.0
"""From a decision in control to every region that it reaches."""
POLL_S: Final = 1.0
"""From a region's database to each of its processes."""
CONFIRM_S: Final = 30.0
"""A state that the region's database has not confirmed for so long is not used."""
GOVERNANCE_S: Final = (300.0, 3600.0, 86_400.0)
"""How long a region goes on without having agreed with control: the choices, the last is the default."""


class Choice(StrEnum):
    """What happens while the customer's key store does not answer."""

    LEASE = "lease"
    """The region goes on, across restarts: the tenant key is kept sealed on its disk. Default for BYOK."""
    MEMORY_ONLY = "memory-only"
    """The region goes on while its process lives: nothing is kept on a disk. Default for HYOK."""
    FAIL_CLOSED = "fail-closed"
    """The region stops at the first probe that is not answered."""


_OUTAGE_S: Final = {Choice.LEASE: 86_400.0, Choice.MEMORY_ONLY: 3600.0, Choice.FAIL_CLOSED: 0.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A tenant's choice with its windows in seconds; ``outage_s`` None is the choice's own default.

    The doubtful window is never longer than the outage window: who knows less does not go on for longer.

    Raises:
        Permanent: BAD_REQUEST; a window is out of its range.
    """

    choice: Choice = Choice.LEASE
    outage_s: float | None = None
    doubtful_s: float = 3600.0
    governance_s: float = GOVERNANCE_S[-1]
    encrypting_s: float = 30.0
    decrypting_s: float = 300.0

    def __post_init__(self) -> None:
        if self.choice is Choice.FAIL_CLOSED and self.window_s:
            raise _refused(
                "Fail closed has no outage window: it stops as soon as the key store does not answer."
            )
        _within("outage window", self.window_s, 0.0, LONGEST_WINDOW_S)
        _within("doubtful window", self.doubtful_s, 0.0, LONGEST_WINDOW_S)
        _within("lease life for encrypting", self.encrypting_s, 1.0, 3600.0)
        _within("lease life for decrypting", self.decrypting_s, 60.0, 3600.0)
        if self.governance_s not in GOVERNANCE_S:
            raise _refused(
                f"The governance window is {self.governance_s:g} s; it can be 5 minutes, 1 hour or 24 hours."
            )

    @property
    def encrypts_s(self) -> float:
        """The life of a lease for encrypting as it counts: whoever holds the key can open with it as well."""
        return min(self.encrypting_s, self.decrypting_s)

    @property
    def window_s(self) -> float:
        """The outage window."""
        return _OUTAGE_S[self.choice] if self.outage_s is None else self.outage_s

    @property
    def doubt_s(self) -> float:
        """The doubtful window as it counts."""
        return min(self.doubtful_s, self.window_s)


Way = Literal["key-store", "control", "database", "encrypting", "decrypting"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """One way that a stop travels, and for how many seconds at most the old state is still used along it."""

    way: Way
    connected_s: float
    cut_off_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstCase:
    """What a tenant's settings come to. Sums are of the ways that follow each other, each at its worst.

    ``store_*``: from the customer's act at the root key until nothing decrypts; ``revoke_*``: from a revoke in OpenKCM;
    ``outage_s``: how long a key store that does not answer is survived, ``doubtful_s``: one whose answer is doubtful;
    ``survives_restart``: whether a region's process may restart meanwhile.
    """

    bounds: tuple[Bound, ...]
    store_connected_s: float
    store_cut_off_s: float
    revoke_connected_s: float
    revoke_cut_off_s: float
    outage_s: float
    doubtful_s: float
    survives_restart: bool


def worst_case(policy: Policy, *, probe_s: float = PROBE_S, call_s: float = CALL_S) -> WorstCase:
    """The tenant's own worst case. ``probe_s`` is longer than usual where a store's budget stretches its round.

    A refusal counts once it is proven: the probe that meets it, 5 s, and the second one, each with its deadline.
    Cut off from the key store, a process stops when the window is over, or by the first probe where there is none.
    """
    unheard_s = max(policy.window_s, probe_s + call_s)
    # An application opens what it has encrypted with a data key of its own until that one's lease ends, and does not
    # ask again where the key was replaced.
    opening_s = max(policy.decrypting_s / 2, policy.encrypts_s)
    bounds = (
        Bound(way="key-store", connected_s=probe_s + PROOF_APART_S + 2 * call_s, cut_off_s=unheard_s),
        Bound(way="control", connected_s=PUSH_S, cut_off_s=policy.governance_s),
        Bound(way="database", connected_s=POLL_S, cut_off_s=CONFIRM_S),
        Bound(way="encrypting", connected_s=policy.encrypts_s / 2, cut_off_s=policy.encrypts_s),
        Bound(way="decrypting", connected_s=opening_s, cut_off_s=policy.decrypting_s),
    )
    store, control, database, _, decrypting = bounds
    return WorstCase(
        bounds=bounds,
        store_connected_s=_sum(store.connected_s, database.connected_s, decrypting.connected_s),
        store_cut_off_s=_sum(store.cut_off_s, database.cut_off_s, decrypting.cut_off_s),
        revoke_connected_s=_sum(control.connected_s, database.connected_s, decrypting.connected_s),
        revoke_cut_off_s=_sum(control.cut_off_s, database.cut_off_s, decrypting.cut_off_s),
        outage_s=policy.window_s,
        doubtful_s=policy.doubt_s,
        survives_restart=policy.choice is Choice.LEASE,
    )


def _sum(*parts: float) -> float:
    return sum(parts)


def _within(what: str, given: float, least: float, most: float) -> None:
    if not least <= given <= most:
        raise _refused(f"The {what} is {given:g} s; it can be {least:g} to {most:g} s.")


def _refused(why: str) -> Permanent:
    return Permanent(
        Refusal.BAD_REQUEST,
        why,
        remedy=Remedy("Choose another one.", "you", "how-it-works/outage#what-you-choose"),
    )
