"""Of tenants that control agreed on together and that chose alike, one asks the clocks for all, for a second."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import cast

import pytest

from openkcm.crypto.allowed import RECHECK_S, Allowed
from openkcm.crypto.bounds import Policy
from openkcm.crypto.connection import DesiredPolicy
from openkcm.crypto.links import Links
from openkcm.crypto.moments import Moment
from openkcm.crypto.view import View
from openkcm.crypto.windows import Decision, Verdict
from openkcm.kernel.clock import SetClock
from openkcm.sdk.refusals import Refusal, Refused

AT = datetime(2026, 11, 28, tzinfo=UTC)


def moment(monotonic: float) -> Moment:
    return Moment(wall=AT, database=None, control=None, monotonic=monotonic, run="one")


@dataclass
class Asked:
    """In place of the links: which tenants it was asked about."""

    agreed: dict[str, Moment]
    decided: Decision = field(default_factory=lambda: Decision(Verdict.SERVE, 60.0))
    asked: list[str] = field(default_factory=list)

    def last_agreed(self, tenant: str) -> Moment | None:
        return self.agreed.get(tenant)

    def governed(self, tenant: str, policy: Policy) -> Decision:
        self.asked.append(tenant)
        return self.decided

    def decision(self, key_id: bytes) -> Decision:
        self.asked.append(key_id.decode())
        return self.decided


@dataclass
class Chosen:
    policy: DesiredPolicy


@dataclass
class Tenant:
    tenant: str
    desired: Chosen = field(default_factory=lambda: Chosen(DesiredPolicy()))


def seen(tenant: str, **chosen: float) -> View:
    return cast("View", Tenant(tenant, Chosen(DesiredPolicy(**chosen))))  # type: ignore[arg-type] # seconds alone


@pytest.fixture
def clock() -> SetClock:
    return SetClock(AT)


@pytest.fixture
def links() -> Asked:
    together = moment(1.0)
    return Asked({"one": together, "two": together, "apart": moment(1.0), "other": together, "own": together})


@pytest.fixture
def allowed(links: Asked, clock: SetClock) -> Allowed:
    return Allowed(cast("Links", links), {"own": b"key"}, clock)


def test_tenants_alike_are_decided_for_together_and_anew_after_a_second(
    allowed: Allowed, links: Asked, clock: SetClock
) -> None:
    for _ in range(2):
        allowed.check(seen("one"))
        allowed.check(seen("two"))
    assert links.asked == ["one"]
    clock.advance(RECHECK_S)
    allowed.check(seen("two"))
    assert links.asked == ["one", "two"]


def test_another_agreement_another_choice_or_a_root_key_of_ones_own_is_decided_by_itself(
    allowed: Allowed, links: Asked
) -> None:
    allowed.check(seen("one"))
    allowed.check(seen("apart"))
    allowed.check(seen("other", encrypting_s=20.0))
    allowed.check(seen("own"))
    assert links.asked == ["one", "apart", "other", "key"]


def test_what_is_forgotten_is_decided_anew_for_those_alike_too(allowed: Allowed, links: Asked) -> None:
    allowed.check(seen("one"))
    allowed.forget("one")
    links.decided = Decision(Verdict.CUT_OFF)
    for tenant in ("one", "two"):
        with pytest.raises(Refused) as refused:
            allowed.check(seen(tenant))
        assert refused.value.refusal is Refusal.CUT_OFF
    links.decided = Decision(Verdict.SERVE, 60.0)
    allowed.check(seen("two"))
