"""What the hot door leans on of uvicorn's inside: who updates uvicorn looks at it again, and then at these numbers."""

from __future__ import annotations

import inspect
from hashlib import sha256

import pytest
import uvicorn
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from openkcm.crypto.data.hot import HotCycle


def test_uvicorn_has_the_minor_version_that_the_door_was_made_for() -> None:
    assert uvicorn.__version__.split(".")[:2] == ["0", "54"]


@pytest.mark.parametrize(
    ("leaned_on", "known"),
    [
        (HttpToolsProtocol, "18fdf324b11bf160"),
        (RequestResponseCycle, "e67d470d435dcc1c"),
        (FlowControl, "126debcdaa894c83"),
    ],
)
def test_the_inside_of_uvicorn_is_the_one_that_was_read(leaned_on: type[object], known: str) -> None:
    assert sha256(inspect.getsource(leaned_on).encode()).hexdigest()[:16] == known


def test_a_hot_request_has_all_that_uvicorns_protocol_asks_of_one() -> None:
    asked = {"response_complete", "disconnected", "message_event", "keep_alive", "more_body"}
    source = inspect.getsource(HttpToolsProtocol)
    used = {
        name for name in RequestResponseCycle.__init__.__code__.co_names if f"self.cycle.{name}" in source
    }
    assert used - {"body"} <= asked  # of a hot request's body nothing reaches uvicorn's
    assert all(hasattr(HotCycle(keep_alive=True), name) for name in asked)
