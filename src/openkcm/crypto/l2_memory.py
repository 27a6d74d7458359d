"""L2s that customers' root keys have opened, in memory; and which of them are to be kept for the time of an outage."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from openkcm.crypto.bounds import Choice
from openkcm.crypto.leases import NewLease
from openkcm.crypto.moments import Moment
from openkcm.crypto.view import View

MOST: Final = 100_000
MOST_FRESH: Final = 256
FRESH_S: Final = 60.0
"""For so long what a root key said counts for a key that was not in force yet; after it, the root key is asked."""


class L2Memory:
    """By key id, the longest unused going first. A *fresh* one was opened before a document brought it into force."""

    def __init__(self) -> None:
        self._held: OrderedDict[bytes, bytes] = OrderedDict()
        self._fresh: OrderedDict[bytes, tuple[str, bytes, Moment]] = OrderedDict()
        self._to_lease: dict[bytes, NewLease] = {}
        self._writing: dict[bytes, NewLease] = {}

    def __contains__(self, key_id: bytes) -> bool:
        return key_id in self._held

    def get(self, key_id: bytes) -> bytes | None:
        """The L2, if it is here."""
        if key_id in self._held:
            self._held.move_to_end(key_id)
        return self._held.get(key_id)

    def put(self, key_id: bytes, l2: bytes) -> None:
        """The L2 is here."""
        self._held[key_id] = l2
        if len(self._held) > MOST:
            self._held.popitem(last=False)

    def drop(self, key_id: bytes) -> None:
        """Nothing of it is here, and no lease of it is written any more."""
        self._held.pop(key_id, None)
        self._fresh.pop(key_id, None)
        self.unlease(key_id)

    def keep_fresh(self, tenant: str, key_id: bytes, l2: bytes, sent: Moment) -> None:
        """It may come into force soon: then nobody has to wait for it. ``sent`` is when its root key was asked."""
        self._fresh[key_id] = (tenant, l2, sent)
        while len(self._fresh) > MOST_FRESH:
            self._fresh.popitem(last=False)

    def take_fresh(self, key_id: bytes) -> tuple[bytes, Moment] | None:
        """What was kept fresh, if it was; it is fresh no more. ``forget_fresh`` says first what is not any more."""
        found = self._fresh.pop(key_id, None)
        return None if found is None else found[1:]

    def forget_fresh(self, now: float, of: str = "") -> None:
        """Nothing of this tenant is fresh, nor what was asked for ``FRESH_S`` before ``now`` (monotonic)."""
        for key_id, (tenant, _, sent) in list(self._fresh.items()):
            if tenant == of or now - sent.monotonic > FRESH_S:
                del self._fresh[key_id]

    def follow(self, view: View, key_id: bytes) -> None:
        """No lease of the key is written where its tenant wants none any more."""
        if view.desired.policy.choice is not Choice.LEASE:
            self.unlease(key_id)

    def lease(self, view: View, key_id: bytes, sent: Moment) -> None:
        """The L2, whose root key answered a call that left at ``sent``, is to outlast this process, if its tenant so
        chose.
        """
        l2 = self._held.get(key_id)
        if l2 is not None and view.desired.policy.choice is Choice.LEASE:
            self._to_lease[key_id] = NewLease(
                tenant=view.tenant, key_id=key_id, l2=l2, stamp=view.stamp, issued=sent
            )

    def take_leases(self) -> list[NewLease]:
        """The leases that are to be written; they are left to the caller, who asks ``is_due`` of each."""
        self._writing, self._to_lease = self._to_lease, {}
        return list(self._writing.values())

    def is_due(self, lease: NewLease) -> bool:
        """Whether nothing has ended the lease since it was taken; from any thread."""
        return self._writing.get(lease.key_id) is lease

    def unlease(self, key_id: bytes) -> None:
        """No lease of the key is written any more, also by who has taken it already."""
        self._to_lease.pop(key_id, None)
        self._writing.pop(key_id, None)
