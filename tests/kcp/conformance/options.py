"""The options of the suite, for pytest's ``-p``: without this module it runs against the emulator."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("kcp", "the kcp that the conformance suite runs against")
    group.addoption(
        "--kubeconfig",
        metavar="FILE",
        help="a kcp's admin, by token or client certificate; without it the emulator is tested",
    )
    group.addoption(
        "--restart", metavar="CMD", help="kills and starts that kcp, and returns when it answers: for check 9"
    )
    group.addoption(
        "--expect-shards", type=int, default=0, metavar="N", help="how many shards it has: 2 for check 17"
    )
