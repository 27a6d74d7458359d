"""What goes wrong, on demand: the next requests that match are answered badly, slowly, partly or not at all."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.kcp.emulator.answers import Answer, failure, not_served
from tests.kcp.emulator.objects import encode
from tests.kcp.emulator.watch import Tampering
from tests.kcp.emulator.wire import Cut, How


@dataclass(frozen=True, slots=True)
class Which:
    """The requests that are meant; an empty field means any."""

    verb: str = ""
    """As RBAC calls it: get, list, watch, create, update, patch, delete."""
    plural: str = ""
    port: str = ""
    """``front`` or a shard's name."""
    cluster: str = ""
    path: str = ""
    """A regular expression, found anywhere in the target."""

    def matches(self, *, verb: str, plural: str, port: str, cluster: str, target: str) -> bool:
        pairs = ((self.verb, verb), (self.plural, plural), (self.port, port), (self.cluster, cluster))
        return all(not wanted or wanted == given for wanted, given in pairs) and (
            not self.path or re.search(self.path, target) is not None
        )


@dataclass
class Fault:
    """One thing that goes wrong, ``times`` times (None: until it is taken back)."""

    which: Which
    times: int | None = 1
    answer: Answer | None = None
    before_s: float = 0.0
    """The answer begins so much later."""
    cut: Cut | None = None
    unread: How | None = None
    """The request is not answered: its connection breaks off in this way instead."""
    chunk_bytes: int = 0
    tampering: Callable[[], Tampering] | None = None
    taken: int = 0
    """How often it has happened."""


@dataclass
class Faults:
    """All faults that wait, in the order in which they are looked for."""

    waiting: list[Fault] = field(default_factory=list)

    def add(self, fault: Fault) -> Fault:
        self.waiting.append(fault)
        return fault

    def clear(self) -> None:
        self.waiting.clear()

    def take(self, *, verb: str, plural: str, port: str, cluster: str, target: str) -> Fault | None:
        """The first fault that means this request; it has happened once more now."""
        for fault in self.waiting:
            if fault.which.matches(verb=verb, plural=plural, port=port, cluster=cluster, target=target):
                fault.taken += 1
                if fault.times is not None and fault.taken >= fault.times:
                    self.waiting.remove(fault)
                return fault
        return None

    def answer(self, which: Which, status: int, *, times: int | None = 1, retry_after_s: int = 0) -> Fault:
        """They are answered with this status: 429 and 503 with ``Retry-After``, 404 as plain text."""
        headers = {"Retry-After": str(retry_after_s)} if retry_after_s else {}
        return self.add(Fault(which, times, answer=bad_answer(status, headers)))

    def slow(self, which: Which, before_s: float, *, times: int | None = 1) -> Fault:
        return self.add(Fault(which, times, before_s=before_s))

    def cut(self, which: Which, cut: Cut, *, times: int | None = 1) -> Fault:
        """Their response ends in the middle."""
        return self.add(Fault(which, times, cut=cut))

    def unread(self, which: Which, how: How = How.RESET, *, times: int | None = 1) -> Fault:
        """Their connection ends, or falls silent, before a byte is answered."""
        return self.add(Fault(which, times, unread=how))

    def chunks(self, which: Which, chunk_bytes: int, *, times: int | None = None) -> Fault:
        """Their response comes in chunks of so many bytes, wherever that cuts a line or a character."""
        return self.add(Fault(which, times, chunk_bytes=chunk_bytes))

    def tamper(self, which: Which, tampering: Callable[[], Tampering], *, times: int | None = 1) -> Fault:
        """The events of the watch are not what they should be."""
        return self.add(Fault(which, times, tampering=tampering))


_REASONS = {
    401: "Unauthorized",
    403: "Forbidden",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


def bad_answer(status: int, headers: dict[str, str] | None = None) -> Answer:
    """A refusal without a cause in the request."""
    if status == 404:
        return not_served()
    reason = _REASONS.get(status, "Unknown")
    message = {429: "Not found on this shard", 403: "forbidden: not yet"}.get(status, reason)
    return Answer(status, encode(failure(status, reason, message)) + b"\n", headers=headers or {})
