"""The commands on the page work as pasted: a real shell and a real curl, against a service that answers as ours."""

from __future__ import annotations

import base64
import dataclasses
import json
import shutil
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from tests.parts import require
from tests.web.content import TOKEN


class Service(BaseHTTPRequestHandler):
    """Turns a record round instead of encrypting it, and remembers what it was asked."""

    asked: list[tuple[str, str | None, dict[str, str]]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).asked.append((self.path, self.headers["Authorization"], body))
        given, told = ("plaintext", "message") if self.path == "/v1/encrypt" else ("message", "plaintext")
        turned = base64.b64encode(base64.b64decode(body[given])[::-1]).decode()
        answer = json.dumps({told: turned}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args: object) -> None:
        """Nothing is printed."""


@pytest.fixture
def service() -> Iterator[str]:
    Service.asked = []
    with HTTPServer(("127.0.0.1", 0), Service) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.integration
def test_the_commands_encrypt_a_record_and_give_it_back(service: str) -> None:
    require("curl", shutil.which("curl"), "the commands use it")
    shown = dataclasses.replace(TOKEN, data_address=service, service="';echo x;'", token="a'b$(touch x)\"")
    done = subprocess.run(
        ["sh", "-eu"], input=shown.commands, capture_output=True, text=True, timeout=20, check=True
    )
    sealed = base64.b64encode(b"my first record"[::-1]).decode()
    assert done.stdout == f"Stored: {sealed}\nmy first record\n"
    assert done.stderr == ""
    names = {"tenant": TOKEN.tenant, "service": shown.service}
    assert Service.asked == [
        (
            "/v1/encrypt",
            f"Bearer {shown.token}",
            names | {"plaintext": base64.b64encode(b"my first record").decode()},
        ),
        ("/v1/decrypt", f"Bearer {shown.token}", names | {"message": sealed}),
    ]
