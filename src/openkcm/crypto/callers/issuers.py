"""Issuers' keys: fetched when a token needs them, remembered for minutes, and asked for again no faster than that.

Of each issuer one fetch is under way at a time, of a tenant two, and none of it holds up another tenant: a wait is
only of those who need that issuer.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

import msgspec

from openkcm.crypto.callers.assertion import Assertion
from openkcm.crypto.callers.key_set import PublicKey, chosen, read_keys
from openkcm.crypto.callers.limits import Buckets
from openkcm.crypto.callers.proof import ProofFailed, Why
from openkcm.crypto.callers.reach import NotReached
from openkcm.crypto.trust import IssuerTrust
from openkcm.kernel.log import get_logger
from openkcm.sdk.refusals import Refusal, Remedy, Temporary

log = get_logger(__name__)

GOOD_S: Final = 600.0
"""Keys so old are fetched again before they are used."""
KEPT_S: Final = 3600.0
"""Keys so old are not used, although their issuer does not answer."""
AGAIN_S: Final = 10.0
"""An issuer is asked no more often, whatever key a token names and however it answered."""
MOST_ISSUERS: Final = 1024
MOST_OF_TENANT: Final = 16
"""Whose keys are remembered; of more, whoever was asked for longest ago is forgotten."""
FETCHES_PER_S: Final = 1.0
"""Of one tenant's issuers together, on the long run: whatever it registers, nobody is asked faster for it."""
FETCHES_BURST: Final = 20.0
_PER_TENANT: Final = 2
_FETCHES: Final = 64
_DISCOVERY: Final = "/.well-known/openid-configuration"
_DISCOVERY_BYTES: Final = 64 * 1024
_KEYS_BYTES: Final = 256 * 1024


class Fetches(Protocol):
    """How documents are fetched; ``reach.Reach``."""

    async def fetch(self, tenant: str, url: str, *, authority: str, most_bytes: int) -> bytes:
        """The document. Raises ``NotReached``."""


class _Discovery(msgspec.Struct, frozen=True):
    issuer: str
    jwks_uri: str


@dataclass(slots=True)
class _Known:
    keys: tuple[PublicKey, ...] = ()
    fetched_at: float = -math.inf
    asked_at: float = -math.inf
    fetching: asyncio.Task[None] | None = field(default=None, repr=False)


class Issuers:
    """The keys of tenants' issuers. ``now`` is a monotonic clock in seconds."""

    def __init__(self, reach: Fetches, now: Callable[[], float]) -> None:
        self._reach = reach
        self._now = now
        self._known: OrderedDict[tuple[str, str, str], _Known] = OrderedDict()
        self._under_way: Counter[str] = Counter()
        self._rate = Buckets(now, per_s=FETCHES_PER_S, burst=FETCHES_BURST)

    async def key(self, tenant: str, trust: IssuerTrust, assertion: Assertion) -> PublicKey:
        """The key of this issuer that the token names.

        Raises:
            ProofFailed: the issuer has no such key.
            Temporary: ISSUER_SILENT; it did not answer, or was asked for a key that it does not have a moment ago.
        """
        known = self._of(tenant, trust)
        if self._now() - known.fetched_at > GOOD_S:
            await self._refresh(tenant, trust, known)
        if self._now() - known.fetched_at > KEPT_S:
            raise silent(self._wait_s(known))
        if (found := self._chosen(known, assertion)) is not None:
            return found
        # Perhaps it has a new one.
        if not await self._refresh(tenant, trust, known):
            raise silent(self._wait_s(known))
        if (found := self._chosen(known, assertion)) is None:
            raise ProofFailed(Why.KEY_UNKNOWN)
        return found

    def _of(self, tenant: str, trust: IssuerTrust) -> _Known:
        name = (tenant, trust.issuer, trust.authority)
        if name not in self._known:
            mine = [each for each in self._known if each[0] == tenant]
            for oldest in mine[: max(0, len(mine) + 1 - MOST_OF_TENANT)]:
                del self._known[oldest]
        known = self._known.setdefault(name, _Known())
        self._known.move_to_end(name)
        while len(self._known) > MOST_ISSUERS:
            self._known.popitem(last=False)
        return known

    @staticmethod
    def _chosen(known: _Known, assertion: Assertion) -> PublicKey | None:
        return chosen(known.keys, kid=assertion.kid, algorithm=assertion.algorithm)

    def _wait_s(self, known: _Known) -> float:
        return max(1.0, known.asked_at + AGAIN_S - self._now())

    async def _refresh(self, tenant: str, trust: IssuerTrust, known: _Known) -> bool:
        """Whether the keys are now those of a fetch that ended after this began."""
        before = known.fetched_at
        if known.fetching is None:
            if self._now() - known.asked_at < AGAIN_S or not self._may_ask(tenant):
                return False
            known.asked_at = self._now()
            self._rate.take(tenant)
            self._under_way[tenant] += 1
            known.fetching = asyncio.create_task(self._fetch(tenant, trust, known))
        # Whoever asked first may leave; the others still want the answer.
        await asyncio.shield(known.fetching)
        return known.fetched_at > before

    def _may_ask(self, tenant: str) -> bool:
        if self._rate.wait_s(tenant) > 0:
            return False
        return self._under_way[tenant] < _PER_TENANT and self._under_way.total() < _FETCHES

    async def _fetch(self, tenant: str, trust: IssuerTrust, known: _Known) -> None:
        try:
            known.keys = await self._keys(tenant, trust)
            known.fetched_at = self._now()
        except NotReached as failed:
            log.warning(
                "callers.issuer_not_reached",
                tenant=tenant,
                issuer=trust.issuer,
                reason=str(failed),
                forbidden=failed.forbidden,
            )
        finally:
            known.fetching = None
            self._under_way[tenant] -= 1
            if self._under_way[tenant] <= 0:
                del self._under_way[tenant]

    async def _keys(self, tenant: str, trust: IssuerTrust) -> tuple[PublicKey, ...]:
        url, authority = trust.issuer.rstrip("/") + _DISCOVERY, trust.authority
        document = await self._reach.fetch(tenant, url, authority=authority, most_bytes=_DISCOVERY_BYTES)
        try:
            discovered = msgspec.json.decode(document, type=_Discovery)
        except (msgspec.MsgspecError, RecursionError):
            raise NotReached("its openid-configuration cannot be read") from None
        if discovered.issuer != trust.issuer:
            raise NotReached("its openid-configuration is another issuer's")
        document = await self._reach.fetch(
            tenant, discovered.jwks_uri, authority=authority, most_bytes=_KEYS_BYTES
        )
        try:
            return read_keys(document)
        except ValueError as wrong:
            raise NotReached(f"its keys cannot be read: {wrong}") from None


def silent(retry_after_s: float) -> Temporary:
    """The refusal while an issuer does not answer as one does."""
    return Temporary(
        Refusal.ISSUER_SILENT,
        "The issuer of this token does not tell its keys now, or has just been asked for one that it does not have.",
        remedy=Remedy(
            "Look whether the issuer answers, and whether this region may reach it.",
            "owner",
            "reference/callers#issuers",
        ),
        retry_after_s=retry_after_s,
    )
