"""The data keys that a client holds in memory, and when each of them leaves it. No I/O.

Read by every thread of the application, changed by the event loop alone; a reader may see each step of a change.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Final

from openkcm_client.leases import NO_WRITER, Key, Lease, Opened, StreamWriter, Writer
from openkcm_client.message import DataKey
from openkcm_client.refused import Refused
from openkcm_client.stream import StreamKey


class Keys:
    """One client's keys."""

    __slots__ = ("_leases", "_max_opened", "opened", "opened_streams", "reading", "stream_writer", "writer")

    def __init__(self, max_opened: int) -> None:
        self._max_opened: Final = max_opened
        self.writer = NO_WRITER
        """``NO_WRITER`` where there is none, so that who encrypts has one thing to look at."""
        self.stream_writer: StreamWriter | None = None
        self.opened: dict[bytes, Opened[DataKey]] = {}
        """Of messages, by the 128 bytes of the envelope."""
        self.opened_streams: dict[bytes, Opened[StreamKey]] = {}
        self.reading: dict[str, Lease] = {}
        """By the id of the service key, in hex."""
        self._leases: set[Lease] = set()

    def take_writer(self, writer: Writer) -> None:
        """New messages are encrypted with this one; it also opens them, for as long as its own lease holds."""
        self._leases.add(writer)
        self._put(self.opened, writer.key.envelope.to_bytes(), Opened(writer.key, writer))
        self.writer = writer

    def take_stream_writer(self, writer: StreamWriter) -> None:
        """New streams are encrypted with this one."""
        self._leases.add(writer)
        self._put(self.opened_streams, writer.key.envelope.to_bytes(), Opened(writer.key, writer))
        self.stream_writer = writer

    def lease(self, key_id: str) -> Lease:
        """The lease that all opened keys of this service key share."""
        lease = self.reading.get(key_id)
        if lease is None:
            lease = self.reading[key_id] = Lease(key_id, "decrypt")
            self._leases.add(lease)
        return lease

    def take_opened(self, envelope: bytes, key: DataKey, lease: Lease) -> Opened[DataKey]:
        """Messages with this envelope are opened with this one."""
        opened = Opened(key, lease)
        self._put(self.opened, envelope, opened)
        return opened

    def take_opened_stream(self, envelope: bytes, key: StreamKey, lease: Lease) -> Opened[StreamKey]:
        """Streams with this envelope are opened with this one."""
        opened = Opened(key, lease)
        self._put(self.opened_streams, envelope, opened)
        return opened

    def end_writing(self, why: Refused) -> None:
        """Nothing is encrypted with the keys that are here."""
        if self.writer is not NO_WRITER:
            self.writer.end(why)
        if self.stream_writer is not None:
            self.stream_writer.end(why)
        self.writer, self.stream_writer = NO_WRITER, None
        self.sweep(float("-inf"))

    def end_service_key(self, key_id: str, why: Refused) -> None:
        """Nothing is done with any data key of this service key."""
        for lease in [lease for lease in self._leases if lease.key_id == key_id]:
            lease.end(why)
        self.sweep(float("-inf"))

    def end_all(self, why: Refused) -> None:
        """Nothing is done with any key that is here; none is here any more."""
        for lease in list(self._leases):
            lease.end(why)
        self.sweep(float("-inf"))

    def sweep(self, now_s: float) -> float | None:
        """No key is here whose lease is over; the moment of the next end, or None if there is none."""
        over = {lease for lease in self._leases if lease.ended_by is not None or lease.deadline <= now_s}
        if self.writer in over:
            self.writer = NO_WRITER
        if self.stream_writer in over:
            self.stream_writer = None
        if over:
            _drop(self.opened, over)
            _drop(self.opened_streams, over)
            for key_id in [key_id for key_id, lease in list(self.reading.items()) if lease in over]:
                del self.reading[key_id]
            self._leases -= over
        return min((lease.deadline for lease in self._leases), default=None)

    def held(self, lease: Lease, now_s: float) -> None:
        """A lease that was swept and is granted again, for a stream that took a rest, is looked after again."""
        if lease.ended_by is None and lease.deadline > now_s:
            self._leases.add(lease)

    def _put(self, shelf: dict[bytes, Opened[Key]], envelope: bytes, opened: Opened[Key]) -> None:
        shelf[envelope] = opened
        while len(shelf) > self._max_opened:
            # The one that came first; if it was used since it was last looked at, it goes to the end instead.
            oldest = next(iter(shelf))
            looked = shelf.pop(oldest)
            if looked.used and looked is not opened:
                looked.used = False
                shelf[oldest] = looked


def _drop(shelf: dict[bytes, Opened[Key]], over: Container[Lease]) -> None:
    for envelope in [envelope for envelope, opened in list(shelf.items()) if opened.lease in over]:
        shelf.pop(envelope, None)
