"""Real databases and enrolled parties for the tests of the crypto plane."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crypto.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)
