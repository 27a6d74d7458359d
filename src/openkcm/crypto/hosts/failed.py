"""What a caller hears when a key store gave nothing: a closed code, its class, documented words, a remedy."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from openkcm.sdk.key_store import Outage
from openkcm.sdk.refusals import Refusal, Refused, Remedy

_PAGE: Final = "how-it-works/key-store-hosts#codes"


class Own(StrEnum):
    """Our own codes, for what the plugin did not say, or said outside its documented answers."""

    HOST_DIED = "host-died"
    DEADLINE = "deadline"
    OVERLOADED = "overloaded"
    BREAKER_OPEN = "breaker-open"
    UNDOCUMENTED = "undocumented"
    MALFORMED = "malformed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """A code with its class, words and remedy: the declaration's, or one of ``OURS``."""

    code: str
    outage: Outage
    says: str
    remedy: Remedy


def _ours(own: Own, outage: Outage, says: str, action: str, who: str = "operator") -> tuple[Own, Reason]:
    return own, Reason(code=own, outage=outage, says=says, remedy=Remedy(action, who, _PAGE))


OURS: Final = dict(
    (
        _ours(
            Own.HOST_DIED,
            Outage.NO_ANSWER,
            "The process that speaks to the key store ended before it answered.",
            "Nothing; it is started again. If it lasts, see the log of the crypto process.",
        ),
        _ours(
            Own.DEADLINE,
            Outage.NO_ANSWER,
            "The key store did not answer in time.",
            "Check that the key store is up and reached from this region.",
            "whoever runs the key store",
        ),
        _ours(
            Own.OVERLOADED,
            Outage.NO_ANSWER,
            "Too many calls to this key store are waiting already.",
            "Nothing; later calls go through. If it lasts, the key store answers too slowly.",
        ),
        _ours(
            Own.BREAKER_OPEN,
            Outage.NO_ANSWER,
            "The key store has not answered several times in a row, so it is asked again only after a while.",
            "Check that the key store is up and reached from this region.",
            "whoever runs the key store",
        ),
        _ours(
            Own.UNDOCUMENTED,
            Outage.DOUBTFUL,
            "The key store gave an answer that its plugin does not document.",
            "Install a newer version of the plugin, or report what was done when it came.",
        ),
        _ours(
            Own.MALFORMED,
            Outage.DOUBTFUL,
            "The key store's plugin gave an answer that cannot be believed.",
            "Install a newer version of the plugin, and report it: this is never the key store's own answer.",
        ),
    )
)

_REFUSALS: Final = {
    Outage.REFUSED: Refusal.KEY_STORE_REFUSED,
    Outage.NO_ANSWER: Refusal.KEY_STORE_NO_ANSWER,
    Outage.DOUBTFUL: Refusal.KEY_STORE_DOUBTFUL,
}


class StoreFailed(Refused):
    """A call gave no value. ``code`` is of the plugin's declaration, or one of ``Own``; ``outage`` is its class.

    ``temporary`` only where nobody answered. ``proven`` is true once this very answer completes the proof of a refusal.
    """

    def __init__(self, reason: Reason, *, retry_after_s: float | None = None, proven: bool = False) -> None:
        super().__init__(
            _REFUSALS[reason.outage], reason.says, remedy=reason.remedy, retry_after_s=retry_after_s
        )
        self.code = reason.code
        self.outage = reason.outage
        self.temporary = reason.outage is Outage.NO_ANSWER
        self.proven = proven
