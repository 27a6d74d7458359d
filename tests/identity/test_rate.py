"""How often one address may try to come in."""

from __future__ import annotations

import pytest

from openkcm.identity.rate import Rate
from openkcm.kernel.clock import SetClock
from openkcm.sdk.refusals import Refusal, Temporary


def test_tries_are_counted_by_address_and_forgotten_after_the_window(clock: SetClock) -> None:
    rate = Rate(clock, most=2, window_s=60)
    rate.count("10.0.0.1")
    clock.advance(10)
    rate.count("10.0.0.1")
    with pytest.raises(Temporary) as caught:
        rate.count("10.0.0.1")
    assert caught.value.refusal is Refusal.TOO_MANY
    assert caught.value.retry_after_s == 50
    rate.count("10.0.0.2")
    clock.advance(50)
    rate.count("10.0.0.1")
