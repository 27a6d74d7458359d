"""How long an application may go on using data keys that it holds, without asking again."""

from __future__ import annotations

import math
from collections.abc import Sequence

from openkcm.crypto.cache import ServiceKey
from openkcm.crypto.contract import Verb
from openkcm.crypto.data.wire import Lease, Use
from openkcm.crypto.here import Here
from openkcm.crypto.view import View
from openkcm.sdk.refusals import Permanent, Refusal, Remedy

_PAGE = "reference/crypto-service#leases"


class RenewLease:
    """A lease of the data keys that one service key wraps, to decrypt, or to encrypt while it is the one for that."""

    __slots__ = ("_asked", "_use", "key_id")

    def __init__(self, key_id: bytes, use: Use) -> None:
        self._asked = key_id
        self._use: Use = use
        self.key_id = b""

    def permitted(self, verbs: tuple[Verb, ...]) -> bool:
        return self._use in verbs

    def wants(self, view: View, service: str) -> tuple[bytes]:
        """That service key: a region leases only what it could use itself.

        Raises:
            Permanent: KEY_BLOCKED, KEY_REVOKED; to encrypt KEY_READ_ONLY, KEY_NOT_ACTIVE where it is another one that
                encrypts; KEY_UNKNOWN.
        """
        if not view.decrypts(service, self._asked):
            raise _unknown()
        self.key_id = self._asked
        if self._use == "encrypt" and view.encrypting_key(service) != self._asked:
            raise Permanent(
                Refusal.KEY_NOT_ACTIVE,
                "Another service key encrypts now; what this one wraps is decrypted and not used to encrypt.",
                remedy=Remedy("Ask for a new data key.", "caller", _PAGE),
            )
        return (self.key_id,)

    def does(self, here: Here, view: View, keys: Sequence[ServiceKey]) -> Lease:
        return Lease(lease_s=lease_s(here, view, self._use))

    def gone(self) -> Permanent:
        return _unknown()


def lease_s(here: Here, view: View, use: Use) -> float:
    """Seconds, whole milliseconds: the tenant's choice, and no longer than its root key may be used if nobody hears of
    it any more. To encrypt never longer than to decrypt: the same key opens.
    """
    chosen = view.desired.policy
    longest = chosen.encrypts_s if use == "encrypt" else chosen.decrypting_s
    return math.floor(min(longest, here.roots.allowed.left_s(view)) * 1000) / 1000


def _unknown() -> Permanent:
    return Permanent(
        Refusal.KEY_UNKNOWN,
        "This region holds no such key of this tenant and service.",
        remedy=Remedy("Check tenant, service and key id.", "caller", _PAGE),
    )
