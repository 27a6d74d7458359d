"""What both clients are made of, and how they share what is fast: the look at a lease, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import os
import weakref
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final, NoReturn, Self, TypeVar, Unpack
from weakref import WeakSet

import httpx2

from openkcm_client import background
from openkcm_client.addresses import check_addresses
from openkcm_client.bounds import Bounds
from openkcm_client.calls import Calls
from openkcm_client.credentials import Credentials, StaticToken, Where
from openkcm_client.engine import Engine
from openkcm_client.environment import Given, from_environment
from openkcm_client.envelope import ENVELOPE_BYTES, parse
from openkcm_client.errors import Error
from openkcm_client.leases import Lease, Opened, Writer, forked
from openkcm_client.message import DataKey
from openkcm_client.moments import Moments
from openkcm_client.names import check_name
from openkcm_client.refused import Unavailable

TIMEOUT_S: Final = 10.0

T = TypeVar("T")


class Made:
    """A client's parts. Neither copied nor pickled: its keys encrypt in this one alone."""

    def __init__(
        self,
        address: str | Sequence[str],
        *,
        tenant: str,
        service: str = "default",
        credentials: Credentials | str,
        ca: Where | None = None,
        local: bool = True,
        bounds: Bounds | None = None,
        timeout_s: float = TIMEOUT_S,
        moments: Moments | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        addresses = check_addresses(address)
        self.tenant = check_name(tenant, what="tenant")
        self.service = check_name(service, what="service")
        if not 0.1 <= timeout_s <= 600.0:
            raise ValueError("timeout_s is between 0.1 and 600 seconds")
        proof = StaticToken(credentials) if isinstance(credentials, str) else credentials
        moments = moments or Moments()

        def make_calls() -> Calls:
            return Calls(
                addresses,
                proof,
                tenant,
                service,
                ca=ca,
                timeout_s=timeout_s,
                moments=moments,
                transport=transport,
            )

        self._local = local
        self._engine = Engine(make_calls, tenant, service, bounds or Bounds(), moments)
        self._keys = self._engine.keys
        self._now: Callable[[], float] = moments.now
        self._addresses = addresses
        # A client that nobody closed lets go of its keys and connections all the same.
        weakref.finalize(self, _let_go, self._engine).atexit = False
        _living.add(self)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **given: Unpack[Given]) -> Self:
        """A client out of ``OPENKCM_CLIENT_*``; what is ``given`` goes before.

        Raises:
            ValueError: a variable that is needed is missing, or two contradict each other.
        """
        return cls(**(from_environment(os.environ if environ is None else environ) | given))

    def __repr__(self) -> str:
        where = ", ".join(self._addresses)
        return f"{type(self).__name__}({where!r}, tenant={self.tenant!r}, service={self.service!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a client is not copied or pickled: its keys encrypt in this one alone")

    async def _bound(self, work: Callable[[], Awaitable[T]]) -> T:
        self._engine.bind()
        return await work()

    def _writing(self) -> Writer | None:
        """The data key at hand, if its lease holds; when half of that is over, it is being renewed."""
        writer, now = self._keys.writer, self._now()
        if writer is None or now >= writer.deadline:
            return None
        self._renew_behind(writer, now)
        return writer

    def _reading(self, envelope: bytes) -> Opened[DataKey] | None:
        """The opened data key of this envelope, if it is at hand and its lease holds; likewise renewed."""
        opened, now = self._keys.opened.get(envelope), self._now()
        if opened is None or now >= opened.lease.deadline:
            return None
        opened.used = True
        self._renew_behind(opened.lease, now)
        return opened

    def _held(self, lease: Lease) -> bool:
        """Whether the lease holds; likewise renewed.

        Raises:
            Refused: it was ended, by what is raised.
        """
        now = self._now()
        if now < lease.until:
            return True
        if lease.ended_by is not None:
            raise lease.error()
        if now >= lease.deadline:
            return False
        self._renew_behind(lease, now)
        return True

    def _used_up(self, writer: Writer, key: DataKey) -> Writer | None:
        """The writer, if nothing is left of it. Of its shares, the second one is used while another key is fetched."""
        if writer.key is not key:
            return None  # another thread has turned to the second one already
        if not writer.use_reserve():
            return writer
        self._behind(self._engine.replace, writer)
        return None

    def _renew_behind(self, lease: Lease, now_s: float) -> None:
        if now_s >= lease.until and not lease.renewing:
            self._behind(self._engine.kick_if_due, lease, now_s)

    def _behind(self, do: Callable[..., None], *given: object) -> None:
        loop = self._engine.loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(do, *given)

    def _missing(self, messages: Iterable[bytes]) -> list[bytes]:
        """The envelopes of these messages whose keys are not at hand, each once; what is no message has none."""
        heads = dict.fromkeys(bytes(message[:ENVELOPE_BYTES]) for message in messages)
        return [head for head in heads if len(head) == ENVELOPE_BYTES and self._reading(head) is None]

    def _opened_with(
        self, found: Mapping[bytes, Opened[DataKey] | Error], message: bytes, aad: bytes
    ) -> bytes | Error:
        try:
            parse(message)
            head = bytes(message[:ENVELOPE_BYTES])
            opened = found.get(head) or self._reading(head)
            if isinstance(opened, Error):
                return opened
            if opened is None or self._now() >= opened.lease.deadline:
                return Unavailable("The lease ended meanwhile.", code="lease-over", remedy="Ask again.", who="application")
            return opened.key.decrypt_body(bytes(message), aad)
        except Error as error:
            return error


def _let_go(engine: Engine) -> None:
    """In the engine's loop, if that still runs: nothing of the client is left."""
    loop = engine.loop
    if loop is None or engine.closed or not loop.is_running():
        return
    with contextlib.suppress(RuntimeError):  # it ended this very moment
        asyncio.run_coroutine_threadsafe(engine.aclose(), loop)


_living: Final[WeakSet[Made]] = WeakSet()


def _after_fork() -> None:
    """A child holds no key of its parent: each of its clients takes its own."""
    for client in list(_living):
        client._keys.end_all(forked())  # noqa: SLF001 - its own class
        background.leave_behind(client._engine.after_fork())  # noqa: SLF001 - its own class


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
