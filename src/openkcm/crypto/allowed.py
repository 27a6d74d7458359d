"""Whether a tenant's keys may be used now, as far as its root key and the last agreement with control are concerned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from openkcm.crypto.connection import DesiredPolicy
from openkcm.crypto.links import Links
from openkcm.crypto.moments import Moment
from openkcm.crypto.view import View
from openkcm.crypto.windows import Decision
from openkcm.kernel.clock import Clock

RECHECK_S: Final = 1.0
"""A decision is good for so long at most: a clock that somebody sets is seen after it."""
NEVER: Final = float("-inf")
_NOBODY: Final = (None, NEVER)


class Allowed:
    """Decisions by tenant, each kept for a second at most. ``of_tenant`` has the L2s that customers' root keys wrap."""

    def __init__(self, links: Links, of_tenant: Mapping[str, bytes], clock: Clock) -> None:
        self._links = links
        self._of_tenant = of_tenant
        self._clock = clock
        self.good_until: dict[str, float] = {}
        """Until when (monotonic seconds) it is decided of a tenant that they may."""
        self._alike: dict[DesiredPolicy, tuple[Moment | None, float]] = {}
        """By choice: when control agreed on those for whom it was decided last, and until when that is good."""

    def lately(self, tenant: str) -> bool:
        """Whether it was decided a moment ago that they may."""
        return self._clock.monotonic() < self.good_until.get(tenant, NEVER)

    def check(self, view: View) -> None:
        """They may be used now.

        Raises:
            Permanent: KEY_SUSPENDED.
            Temporary: KEY_STORE_SILENT; CUT_OFF, whoever's root key it is.
        """
        now = self._clock.monotonic()
        if now < self.good_until.get(view.tenant, NEVER):
            return
        until = self._together(view, now)
        if until is None:
            decision = self._decision(view)
            decision.check()
            until = now + min(decision.left_s, RECHECK_S)
            if view.tenant not in self._of_tenant:
                self._alike[view.desired.policy] = self._links.last_agreed(view.tenant), until
        self.good_until[view.tenant] = until

    def left_s(self, view: View) -> float:
        """For how many seconds they may be used, if nobody is heard of any more."""
        return self._decision(view).left_s

    def forget(self, tenant: str) -> None:
        """What was decided of this tenant is decided anew."""
        self.good_until.pop(tenant, None)
        self._alike.clear()

    def forget_all(self) -> None:
        """All is decided anew."""
        self.good_until.clear()
        self._alike.clear()

    def _together(self, view: View, now: float) -> float | None:
        """Until when it is decided for tenants like this one: under the platform's root key, agreed on at the same
        time, with the same choice. Of thousands in use each second, one asks the clocks.
        """
        if view.tenant in self._of_tenant:
            return None
        agreed, until = self._alike.get(view.desired.policy, _NOBODY)
        return until if now < until and agreed is self._links.last_agreed(view.tenant) else None

    def _decision(self, view: View) -> Decision:
        key_id = self._of_tenant.get(view.tenant)
        if key_id is None:
            return self._links.governed(view.tenant, view.desired.policy.policy())
        return self._links.decision(key_id)
