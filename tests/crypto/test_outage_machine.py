"""Outage is not revocation, whatever happens in whatever order: the machine, for half a minute or as long as you say.

``OPENKCM_OUTAGE_EXAMPLES=5000 pytest tests/crypto/test_outage_machine.py`` looks longer.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

from tests.crypto.outage_machine import OutageMachine

LONGER = int(os.environ.get("OPENKCM_OUTAGE_EXAMPLES", "0"))

TestOutageMachine = pytest.mark.timeout(120 + 2 * LONGER)(OutageMachine.TestCase)
TestOutageMachine.settings = settings(
    max_examples=LONGER or 250,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
