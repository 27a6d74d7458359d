"""Parties to test with: real identities in real files."""

from collections.abc import Callable
from pathlib import Path

import pytest

from openkcm.parties.identity import Identity, enrol

Enrol = Callable[..., Identity]


@pytest.fixture
def party(tmp_path: Path) -> Enrol:
    made = iter(range(100))
    return lambda name, kind, serial=1: enrol(tmp_path / f"{next(made)}.json", name, kind, serial=serial)


@pytest.fixture
def control(party: Enrol) -> Identity:
    return party("control", "control")


@pytest.fixture
def region(party: Enrol) -> Identity:
    return party("local", "region")
