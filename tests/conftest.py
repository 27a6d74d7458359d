"""What holds for every test of the core."""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import structlog

# No deadline: a shared machine is slow at any moment. Under CI the same examples at every run.
hypothesis.settings.register_profile("house", deadline=None, derandomize=os.environ.get("CI") == "true")
hypothesis.settings.load_profile("house")

pytest_plugins = ["tests.databases", "tests.control"]  # real PostgreSQL and Valkey, started when asked for


@pytest.fixture(autouse=True, scope="session")
def no_network() -> Iterator[None]:
    """A test that would leave the machine fails and names the address; sockets on the machine itself are free."""
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def guarded(self: socket.socket, address: Any, /) -> None:  # noqa: ANN401 - as typeshed has it
        _refuse_foreign(self, address)
        connect(self, address)

    def guarded_ex(self: socket.socket, address: Any, /) -> int:  # noqa: ANN401 - as typeshed has it
        _refuse_foreign(self, address)
        return connect_ex(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded)
        patch.setattr(socket.socket, "connect_ex", guarded_ex)
        yield


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """A command called in this process sets logging up for a process of its own; the next test finds it plain."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def _refuse_foreign(sock: socket.socket, address: object) -> None:
    if sock.family not in (socket.AF_INET, socket.AF_INET6) or not isinstance(address, tuple):
        return
    host = str(address[0])
    if host == "localhost":
        return
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    if not local:
        raise AssertionError(f"a test wanted to connect to {host}: tests stay on this machine")
