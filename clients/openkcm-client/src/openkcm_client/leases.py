"""What is leased: the right to use a service key's data keys for so long, and the data keys themselves. No I/O.

A lease runs from the moment at which its request was sent, by a clock that counts sleep. Until half of it is over it
is used without a thought (``until``); after that, whoever uses it has it renewed behind their back; at ``deadline`` it
ends.
"""

from __future__ import annotations

from typing import Final, Generic, TypeVar

from openkcm_client.envelope import COMMITMENT_BYTES, KEY_ID_BYTES, WRAPPED_BYTES, Envelope
from openkcm_client.message import DataKey
from openkcm_client.refused import Closed, Refused, Unavailable
from openkcm_client.stream import StreamKey
from openkcm_client.wire import Use

NEVER: Final = float("-inf")


class Lease:
    """For one use of the data keys that the service key ``key_id`` (hex) wraps."""

    __slots__ = ("deadline", "ended_by", "ends_s", "key_id", "renewing", "span_s", "until", "use")

    def __init__(self, key_id: str, use: Use, *, ends_s: float = float("inf")) -> None:
        self.key_id = key_id
        self.use = use
        self.ends_s = ends_s
        """When it ends for good, renewed or not."""
        self.until = NEVER
        self.deadline = NEVER
        self.span_s = 0.0
        self.renewing = False
        self.ended_by: Refused | None = None

    def granted(self, sent_s: float, lease_s: float) -> None:
        """It holds for ``lease_s`` from ``sent_s``, if that is longer than it held so far."""
        if self.ended_by is not None:
            return
        deadline = min(sent_s + lease_s, self.ends_s)
        if deadline > self.deadline:
            self.span_s = lease_s
            self.until = min(sent_s + lease_s / 2, deadline)
            self.deadline = deadline  # last: who reads both at once sees the shorter pair

    def run_out(self) -> None:
        """Nobody renews it any more: it is used without a thought up to its end."""
        self.until = self.deadline

    def end(self, why: Refused) -> None:
        """It is over now, and is never granted again."""
        self.ended_by = why
        self.until = self.deadline = NEVER

    def error(self) -> Refused:
        """What a use after its end is told."""
        if self.ended_by is not None:
            why = self.ended_by
            return type(why)(
                why.message,
                code=why.code,
                remedy=why.remedy,
                who=why.who,
                reference=why.reference,
                retry_after_s=why.retry_after_s,
            )
        return Unavailable(
            "The lease of this key ended and no region renewed it.",
            code="lease-over",
            remedy="Look whether the region runs and is reached from here.",
            who="operator",
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}(key_id={self.key_id!r}, use={self.use!r})"


class Writer(Lease):
    """A data key that encrypts whole messages, with a second share of what it may encrypt.

    When the first share is used up, the second bridges the time in which another key is fetched.
    """

    __slots__ = ("key", "reserve")

    def __init__(self, key_id: str, key: DataKey, reserve: DataKey, *, ends_s: float) -> None:
        super().__init__(key_id, "encrypt", ends_s=ends_s)
        self.key = key
        self.reserve: DataKey | None = reserve

    def use_reserve(self) -> bool:
        """The second share is in use now; False where it was already."""
        reserve, self.reserve = self.reserve, None
        if reserve is not None:
            self.key = reserve
        return reserve is not None


def _no_key() -> DataKey:
    """A data key that encrypts nothing."""
    nothing = Envelope(
        l3_key_id=bytes(KEY_ID_BYTES), wrapped=bytes(WRAPPED_BYTES), commitment=bytes(COMMITMENT_BYTES)
    )
    return DataKey(bytes(32), nothing, tenant="", service="", max_messages=0)


NO_WRITER: Final = Writer("", _no_key(), _no_key(), ends_s=NEVER)
"""What stands where there is no key: its lease is always over."""


class StreamWriter(Lease):
    """A data key that encrypts streams: begins them until ``retires_s``, and goes on with them while its lease does."""

    __slots__ = ("key", "retires_s")

    def __init__(self, key_id: str, key: StreamKey, *, retires_s: float) -> None:
        super().__init__(key_id, "encrypt")
        self.key = key
        self.retires_s = retires_s


Key = TypeVar("Key", DataKey, StreamKey)


class Opened(Generic[Key]):
    """A data key that decrypts, under a lease that it shares with the others of its service key."""

    __slots__ = ("key", "lease", "used")

    key: Key

    def __init__(self, key: Key, lease: Lease) -> None:
        self.key = key
        self.lease = lease
        self.used = True


def closed() -> Closed:
    """What a use of a closed client is told."""
    return Closed("This client is closed.", remedy="Make another one.", who="application")


def forked() -> Closed:
    """What a child process is told that goes on with its parent's key."""
    return Closed(
        "This process was forked from the one that holds the key, and a key encrypts in one process only.",
        remedy="Begin anew in this process; the client itself goes on.",
        who="application",
    )
