from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from openkcm.sdk.conformance.place import Place, Placed
from openkcm.sdk.conformance.tenant_source import TenantSourceContract
from openkcm.sdk.plain_text import display_text
from openkcm.sdk.refusals import Refusal
from openkcm.sdk.tenant_source import Creator, Observation, Problem, TenantSource
from openkcm.sdk.testing.memory_source import MemorySource, observed


class MemoryPlace(Place):
    """One source object stands for the place as well, so that what it holds outlives ``aclose``."""

    def __init__(self) -> None:
        self.source = MemorySource()

    def open(self) -> TenantSource:
        return self.source

    def _of(self, tenant: Placed) -> Observation:
        seen = observed(tenant.tenant_id, parent=tenant.parent, name=tenant.name)
        return replace(
            seen,
            display_name=display_text(tenant.display_name) or seen.display_name,
            creator=Creator("https://issuer.example", tenant.creator) if tenant.creator else None,
        )

    def put(self, tenant: Placed) -> None:
        self.source.put(self._of(tenant))

    def remove(self, tenant: Placed) -> None:
        self.source.remove(self._of(tenant))

    def delete(self, tenant: Placed, *, at: datetime) -> None:
        self.source.delete(self._of(tenant), at=at)

    def spoil(self) -> str:
        self.source.trouble(
            Problem(origin="broken", line=None, refusal=Refusal.MANIFEST_UNREADABLE, message="Broken.")
        )
        return "broken"

    def mend(self) -> None:
        self.source.trouble()

    def go_away(self) -> None:
        self.source.break_reading()

    def come_back(self) -> None:
        self.source.heal()

    def status_of(self, tenant: Placed) -> str:
        return self.source.statuses[self._of(tenant).reference].state


@pytest.fixture
def place() -> MemoryPlace:
    return MemoryPlace()


class TestMemorySource(TenantSourceContract):
    pass
