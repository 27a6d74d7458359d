"""Junk at full rate at a real region's door."""

from __future__ import annotations

from pathlib import Path

import pytest

from openkcm.crypto.contract import DesiredCaller, IssuerTrust
from tests.crypto.callers.applications import HOST, Applications
from tests.crypto.callers.issuer import Issuer

pytestmark = pytest.mark.integration


async def test_a_junk_token_at_full_rate_is_turned_away_before_it_is_read_and_costs_little(
    applications: Applications, issuer: Issuer
) -> None:
    trust = IssuerTrust(issuer=issuer.url, subject="backend", authority=issuer.authority.pem)
    await applications.register(
        "acme", DesiredCaller(name="shop", service="default", verbs=("encrypt",), trust=trust)
    )
    async with applications.dial(HOST) as junk:
        before = cpu_s(applications.process.pid)
        told = [await junk.exchange("acme", assertion=f"x.y.{n}") for n in range(400)]
        spent = cpu_s(applications.process.pid) - before
        codes = [answer.status_code for answer in told]
        assert codes.count(403) <= 300
        assert codes[-1] == 429
        assert int(told[-1].headers["retry-after"]) >= 1
        assert spent / len(told) < 0.005
    assert not issuer.asked


def cpu_s(pid: int) -> float:
    """What the process has used of a core, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
