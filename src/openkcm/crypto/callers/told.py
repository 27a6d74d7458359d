"""Why exchanges failed: counted by reason, and written to the log so rarely that nobody fills it."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Final

from openkcm.crypto.callers.proof import Why
from openkcm.crypto.metrics import PROOFS_FAILED, TOKENS
from openkcm.kernel.log import get_logger
from openkcm.sdk.refusals import Refusal

log = get_logger(__name__)

SAY_EVERY_S: Final = 10.0
"""The same of the same caller is said no more often."""
_MOST: Final = 4096


class Told:
    """Those of one process. ``now`` is a monotonic clock in seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._said: OrderedDict[tuple[str, str, Why], float] = OrderedDict()
        self._unsaid: Counter[tuple[str, str, Why]] = Counter()

    def failed(self, tenant: str, caller: str, why: Why) -> None:
        """It failed once more. Tenant and caller are registered ones, or empty: never what somebody made up."""
        TOKENS.labels(Refusal.CALLER_UNKNOWN.value).inc()
        PROOFS_FAILED.labels(why.value).inc()
        what = (tenant, caller, why)
        self._unsaid[what] += 1
        if (now := self._now()) - self._said.get(what, float("-inf")) < SAY_EVERY_S:
            return
        log.warning(
            "callers.not_proven", tenant=tenant, caller=caller, reason=why.value, times=self._unsaid.pop(what)
        )
        self._said[what] = now
        self._said.move_to_end(what)
        while len(self._said) > _MOST:
            self._unsaid.pop(self._said.popitem(last=False)[0], None)
