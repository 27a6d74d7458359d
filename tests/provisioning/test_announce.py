"""The place that an account came from is told that it is ready, unless the account has left it meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import cast

import pytest

from openkcm.kernel.clock import SystemClock
from openkcm.provisioning import steps_ready
from openkcm.provisioning.means import Means
from openkcm.provisioning.steps_ready import Announce
from openkcm.saga.step import Given
from openkcm.sdk.refusals import Refusal, Temporary
from openkcm.sdk.tenant_source import TenantSource, TenantStatus

PAST = {"admit": {"reference": "acme", "source": "kcp"}, "publish": {}, "grant": {"owner_known": True}}


@pytest.fixture
def step(monkeypatch: pytest.MonkeyPatch) -> Announce:
    async def report(_: Mapping[str, TenantSource], source: str, status: TenantStatus) -> None:
        raise Temporary(Refusal.STATUS_NOT_WRITTEN, f"{source} does not serve {status.tenant_id}.")

    monkeypatch.setattr(steps_ready, "report", report)
    means = SimpleNamespace(
        sources={}, clock=SystemClock(), address=lambda tenant: f"https://kcm.example/t/{tenant}"
    )
    return Announce(cast("Means", means))


def of(monkeypatch: pytest.MonkeyPatch, *, left: bool) -> Given:
    async def has_left(_: str) -> bool:
        return left

    monkeypatch.setattr(steps_ready, "_has_left", has_left)
    return cast("Given", SimpleNamespace(tenant="acme", past=PAST))


async def test_a_status_that_cannot_be_written_is_tried_again(
    step: Announce, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Temporary) as refused:
        await step.do(of(monkeypatch, left=False))
    assert refused.value.refusal is Refusal.STATUS_NOT_WRITTEN


async def test_where_the_account_has_left_there_is_nothing_to_announce(
    step: Announce, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await step.do(of(monkeypatch, left=True)) == {}
