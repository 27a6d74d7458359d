"""The guards around tests do what they promise."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.parts import require


@pytest.mark.parametrize("address", ["192.0.2.1", "example.test"])
def test_a_connection_that_leaves_the_machine_is_refused(address: str) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock,
        pytest.raises(AssertionError, match=f"connect to {address}"),
    ):
        sock.connect((address, 9))


def test_a_connection_on_the_machine_is_free() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as sock,
    ):
        assert sock.getpeername() == server.getsockname()


def test_a_missing_part_is_a_named_skip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="Chromium is missing: apt install chromium"):
        require("Chromium", None, "apt install chromium")


def test_a_missing_part_fails_under_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="Chromium is missing"):
        require("Chromium", None, "apt install chromium")


def test_a_part_that_is_there_lets_the_test_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    require("this file", Path(__file__), "it is running")
