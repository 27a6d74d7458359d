"""Asking a customer's root key (L1): each call goes through its guard, and whoever keeps watch hears what it met."""

from __future__ import annotations

from collections.abc import Callable

from openkcm.crypto.hosts.failed import StoreFailed
from openkcm.crypto.kept import Kept
from openkcm.crypto.l1_wrap import L1Wrap, context_of, from_kept, to_wrap, wrapped_by
from openkcm.crypto.moments import Clocks, Moment
from openkcm.crypto.rootfile import Root
from openkcm.crypto.view import View
from openkcm.crypto.ways import Way, Ways
from openkcm.crypto.windows import Heard
from openkcm.sdk.key_store import Outage
from openkcm.sdk.refusals import Permanent, Refused, Temporary


class L1:
    """``hears`` is told of every call about a key and of when it was sent, before the caller gets the answer."""

    def __init__(self, *, region: str, root: Root, ways: Ways, clocks: Clocks) -> None:
        self.hears: Callable[[Heard, Moment], None] = lambda _, __: None
        self.ways = ways
        self.clocks = clocks
        self._region = region
        self._root = root

    async def unwrap(self, view: View, kept: Kept) -> tuple[bytes, Moment]:
        """The L2, which is the one its statement commits to, and when its root key was asked.

        Raises:
            Permanent: KEY_STORE_REFUSED, KEY_STORE_DOUBTFUL, RECORD_MISMATCH.
            Temporary: KEY_STORE_NO_ANSWER.
        """
        kept.check(self._root)  # no key store is asked for what somebody wrote into the database
        way = self.ways.at(view, wrapped_by(kept))
        context = context_of(self._region, kept.tenant, kept.key_id)
        sent = self.clocks.now()
        try:
            opened = await way.store.unwrap(from_kept(kept), context)
        except StoreFailed as failed:
            self.hears(_failed(view, kept.key_id, way, failed), sent)
            raise _refused(failed) from None
        l2 = kept.l2_from(self._root, opened)
        self.hears(_answered(view, kept.key_id, way), sent)
        return l2, sent

    async def wrap(self, view: View, connection: str, l2_id: bytes, l2: bytes) -> tuple[L1Wrap, Moment]:
        """The L2 under the root key at the end of this connection, which has opened it again.

        Raises:
            Permanent: KEY_STORE_REFUSED, KEY_STORE_DOUBTFUL.
            Temporary: KEY_STORE_NO_ANSWER.
        """
        way = self.ways.at(view, connection)
        sent = self.clocks.now()
        try:
            wrapped = await way.store.wrap(l2, context_of(self._region, view.tenant, l2_id))
        except StoreFailed as failed:
            raise _refused(failed) from None
        version = next(one.version for one in view.desired.connections if one.id == connection)
        return to_wrap(wrapped, connection=connection, version=version), sent

    async def probe(self, view: View, key_id: bytes) -> Heard:
        """What the root key of this L2 answers now."""
        try:
            way = self.ways.at(view, view.keys[key_id].connection)
        except Refused as refused:
            code = refused.refusal.value
            return Heard(
                key_id=key_id.hex(), tenant=view.tenant, identity="", outage=Outage.DOUBTFUL, code=code
            )
        try:
            await way.store.probe()
        except StoreFailed as failed:
            return _failed(view, key_id, way, failed)
        return _answered(view, key_id, way)


def _answered(view: View, key_id: bytes, way: Way) -> Heard:
    return Heard(key_id=key_id.hex(), tenant=view.tenant, identity=way.identity)


def _failed(view: View, key_id: bytes, way: Way, failed: StoreFailed) -> Heard:
    return Heard(
        key_id=key_id.hex(),
        tenant=view.tenant,
        identity=way.identity,
        outage=failed.outage,
        code=failed.code,
        proven=failed.proven,
    )


def _refused(failed: StoreFailed) -> Refused:
    """The same without what only the guard knows, so that it can be given to many who wait."""
    if failed.temporary:
        return Temporary(
            failed.refusal, failed.message, remedy=failed.remedy, retry_after_s=failed.retry_after_s or 1.0
        )
    return Permanent(failed.refusal, failed.message, remedy=failed.remedy)
