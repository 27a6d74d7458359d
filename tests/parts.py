"""Real parts that a test needs and a machine may lack."""

from __future__ import annotations

import os

import pytest


def require(part: str, present: object, reason: str) -> None:
    """The test goes on only where ``part`` is present; elsewhere it is skipped by the part's name.

    Under ``CI=true`` an absent part is a failure: there, nothing may be left unproven. ``reason`` says what was looked
    for, so that a reader knows what to install. May stand in a test, a fixture, or at the top of a module.
    """
    if present:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"{part} is missing, and nothing may be missing under CI=true: {reason}", pytrace=False)
    pytest.skip(f"{part} is missing: {reason}", allow_module_level=True)
