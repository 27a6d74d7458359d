"""What a client does over the network, in one event loop: takes keys, opens them, keeps their leases.

The synchronous client has it run in the process's own loop (``background``), the asynchronous one in the application's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

from openkcm_client import believe
from openkcm_client.bounds import Bounds
from openkcm_client.calls import Calls
from openkcm_client.errors import Error
from openkcm_client.flights import Flights
from openkcm_client.gathered import Gathered
from openkcm_client.keys import Keys
from openkcm_client.leases import Lease, Opened, StreamWriter, Writer, closed
from openkcm_client.message import DataKey
from openkcm_client.moments import Moments
from openkcm_client.refused import (
    KeyNotActive,
    KeyReadOnly,
    KeyRevoked,
    KeySuspended,
    Refused,
    TooMany,
    Unavailable,
    bad_answer,
    ends_use,
)
from openkcm_client.remote import Remote
from openkcm_client.stream import StreamKey
from openkcm_client.wire import DataKeyItem, LeasedKey, LeaseItem, OpenItem
from openkcm_client.wire import Lease as LeaseAnswer

_AGAIN_S: Final = 1.0
"""Between two tries to renew a lease behind the application's back."""

_L = TypeVar("_L", bound=Lease)


class Engine:
    """One client's conversation with its regions."""

    def __init__(
        self,
        make_calls: Callable[[], Calls],
        tenant: str,
        service: str,
        bounds: Bounds,
        moments: Moments,
    ) -> None:
        self.keys = Keys(bounds.max_opened)
        self.moments = moments
        self._make_calls = make_calls
        self._tenant = tenant
        self._service = service
        self._bounds = bounds
        self.closed = False
        self.loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._fresh()

    def bind(self) -> None:
        """This loop is the one; of an earlier one that has ended, the keys remain.

        Raises:
            Closed: the client is closed.
            RuntimeError: another loop that runs on is using this client.
        """
        loop = asyncio.get_running_loop()
        if self.closed:
            raise closed()
        if self.loop is loop:
            return
        if self.loop is not None:
            if not self.loop.is_closed():
                raise RuntimeError("an AsyncClient serves one event loop; make another for this one")
            self._fresh()
        self.loop = loop

    async def writer(self, *, instead_of: Writer | None = None) -> Writer:
        """A data key for messages whose lease holds, taken anew unless another one than ``instead_of`` is here.

        Raises: Refused in its family, BadAnswer among them.
        """
        here = self.keys.writer
        if here is not instead_of and self.moments.now() < here.deadline:
            return here
        return await self._flights.join("message", self._take_writer)

    async def stream_writer(self) -> StreamWriter:
        """As ``writer``, for streams; the one that is here if it may begin another."""
        now, writer = self.moments.now(), self.keys.stream_writer
        if writer is not None and now < min(writer.deadline, writer.retires_s):
            self.kick_if_due(writer, now)
            return writer
        return await self._flights.join("stream", self._take_stream_writer)

    async def open(self, envelope: bytes) -> Opened[DataKey]:
        """The opened data key of this envelope, of a message, with a lease that holds.

        Raises: as ``writer``; BadCiphertext, it is no envelope that opens for this tenant and service.
        """
        return await self._flights.join(envelope, lambda: self._open(envelope))

    async def open_stream(self, envelope: bytes) -> Opened[StreamKey]:
        """As ``open``, of a stream; the one that is here if its lease holds."""
        opened, now = self.keys.opened_streams.get(envelope), self.moments.now()
        if opened is not None and now < opened.lease.deadline:
            opened.used = True
            self.kick_if_due(opened.lease, now)
            return opened
        return await self._flights.join(envelope, lambda: self._open_stream(envelope))

    async def renew(self, lease: Lease) -> None:
        """The lease holds for longer, or is ended and what ended it is raised.

        Raises: Refused in its family; Unavailable and TooMany end nothing.
        """
        await self._flights.join(lease, lambda: self._renew(lease))

    def kick_if_due(self, lease: Lease, now_s: float) -> None:
        """Half of the lease is over: it is being renewed behind the application's back."""
        if now_s >= lease.until and not lease.renewing:
            lease.renewing = True
            self._flights.start(("behind", lease), lambda: self._renew_behind(lease))

    def replace(self, writer: Writer) -> None:
        """The first share is used up: another key is being taken."""
        if self.keys.writer is writer:
            self._flights.start("message", self._take_writer)

    async def aclose(self) -> None:
        """No key is here, nothing is under way, no connection is open."""
        self.closed = True
        self.keys.end_all(closed())
        if self._timer is not None:
            self._timer.cancel()
        await self._flights.end()
        await self._opening.end()
        await self._leases.end()
        await self.remote.end()
        await self.calls.aclose()

    def after_fork(self) -> list[object]:
        """The child holds no key, token or connection of its parent; what must not be touched is handed over."""
        left: list[object] = [self.loop, self._flights, self._timer, *self.calls.forget()]
        left += [self._opening, self._leases, self.remote]
        self.loop = self._timer = None
        self._fresh()
        return left

    def _fresh(self) -> None:
        self.calls = self._make_calls()
        self.remote = Remote(self.calls)
        self._flights = Flights()
        self._timer = None
        self._opening: Gathered[OpenItem, LeasedKey] = Gathered(self.calls, "/v1/data-keys/open", LeasedKey)
        self._leases: Gathered[LeaseItem, LeaseAnswer] = Gathered(self.calls, "/v1/leases", LeaseAnswer)

    async def _take_writer(self) -> Writer:
        sent_s, leased = await self._new_key(DataKeyItem(suite="message"))
        last = self._bounds.max_messages // 8
        key, reserve = believe.message_key(
            leased,
            self._tenant,
            self._service,
            shares=(self._bounds.max_messages - last, last),
            max_bytes=self._bounds.max_bytes,
        )
        writer = Writer(leased.key_id, key, reserve, ends_s=sent_s + self._bounds.max_age_s)
        writer.granted(sent_s, believe.lease_s(leased.lease_s))
        self.keys.take_writer(writer)
        self._watch()
        return self._holding(writer)

    async def _take_stream_writer(self) -> StreamWriter:
        sent_s, leased = await self._new_key(DataKeyItem(suite="stream"))
        key = believe.stream_key(leased, self._tenant, self._service, max_streams=self._bounds.max_messages)
        writer = StreamWriter(leased.key_id, key, retires_s=sent_s + self._bounds.max_age_s)
        writer.granted(sent_s, believe.lease_s(leased.lease_s))
        self.keys.take_stream_writer(writer)
        self._watch()
        return self._holding(writer)

    async def _new_key(self, item: DataKeyItem) -> tuple[float, LeasedKey]:
        try:
            return await self.calls.ask_one("/v1/data-keys", item, LeasedKey)
        except Refused as refused:
            self._heed(refused)
            raise

    async def _open(self, envelope: bytes) -> Opened[DataKey]:
        sent_s, leased = await self._opened(envelope)
        key, _ = believe.message_key(leased, self._tenant, self._service)
        lease = self._read_lease(leased, sent_s)
        opened = self.keys.take_opened(envelope, key, lease)
        self._watch()
        return opened

    async def _open_stream(self, envelope: bytes) -> Opened[StreamKey]:
        sent_s, leased = await self._opened(envelope)
        key = believe.stream_key(leased, self._tenant, self._service)
        lease = self._read_lease(leased, sent_s)
        opened = self.keys.take_opened_stream(envelope, key, lease)
        self._watch()
        return opened

    async def _opened(self, envelope: bytes) -> tuple[float, LeasedKey]:
        sent_s, leased = await self._opening.ask(OpenItem(envelope=envelope))
        return sent_s, believe.asked_for(leased, envelope)

    def _read_lease(self, leased: LeasedKey, sent_s: float) -> Lease:
        given_s = believe.lease_s(leased.lease_s)
        lease = self.keys.lease(leased.key_id)
        lease.granted(sent_s, given_s)
        return self._holding(lease)

    async def _renew(self, lease: Lease) -> None:
        try:
            sent_s, answer = await self._leases.ask(LeaseItem(key_id=lease.key_id, use=lease.use))
            lease.granted(sent_s, believe.lease_s(answer.lease_s))
        except Refused as refused:
            if ends_use(refused):
                await self._end(lease, refused)
            raise
        except Error:
            raise bad_answer("a lease has no ciphertext") from None
        self.keys.held(lease, self.moments.now())
        self._watch()
        self._holding(lease)

    async def _end(self, lease: Lease, refused: Refused) -> None:
        """A renewal was refused: what has to end does."""
        try:
            if isinstance(refused, KeyNotActive) and lease is self.keys.writer:
                # Rotated. The lease that was given holds until the new key is here, so that nobody waits for it.
                await self._flights.join("message", self._take_writer)
        finally:
            if lease.use == "decrypt":
                self.keys.end_service_key(lease.key_id, refused)
            lease.end(refused)
            self._heed(refused)
            self.keys.sweep(self.moments.now())

    def _heed(self, refused: Refused) -> None:
        """What a refusal to encrypt says of the other keys."""
        if isinstance(refused, KeyRevoked | KeySuspended):
            self.keys.end_all(refused)
        elif isinstance(refused, KeyReadOnly):
            self.keys.end_writing(refused)

    async def _renew_behind(self, lease: Lease) -> None:
        try:
            while True:
                try:
                    return await self._renew_once(lease)
                except (Unavailable, TooMany) as silent:
                    pause_s = max(_AGAIN_S, silent.retry_after_s or 0.0)
                if self.moments.now() + pause_s >= lease.deadline:
                    return None
                await self.moments.pause(pause_s)
        except Error:
            return None  # ended; the next use is told why, or asks anew
        finally:
            lease.renewing = False

    async def _renew_once(self, lease: Lease) -> None:
        if isinstance(lease, Writer):
            if lease is not self.keys.writer:
                lease.run_out()  # another one encrypts by now, and this one still opens its messages
                return
            if lease.ends_s - self.moments.now() < lease.span_s:
                await self._flights.join("message", self._take_writer)  # too old to be worth it
                return
        await self.renew(lease)

    def _holding(self, lease: _L) -> _L:
        """The lease, which holds: an answer may come so late that what it gives is over already.

        Raises:
            Unavailable: it does not.
        """
        if lease.ended_by is not None or self.moments.now() >= lease.deadline:
            raise lease.error()
        return lease

    def _watch(self) -> None:
        """Keys leave memory when their lease ends, also where nobody asks for them any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = self.moments.now()
        end_s = self.keys.sweep(now)
        if end_s is not None and self.loop is not None:
            self._timer = self.loop.call_later(max(0.05, end_s - now), self._watch)
