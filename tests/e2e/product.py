"""The installed product from outside: ``openkcm up`` as a process, its commands, its files."""

from __future__ import annotations

import html
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

WITHIN_S = 60.0


class Product:
    """One state directory; started and stopped as often as a test wants.

    ``python`` is where it is installed, ``settings`` are variables of the environment that it is started in.
    """

    def __init__(
        self, home: Path, *, python: str = sys.executable, settings: Mapping[str, str] | None = None
    ) -> None:
        self.openkcm = (python, "-I", "-m", "openkcm")
        self.settings = settings or {}
        self.state = home / "state"
        self.manifests = home / "manifests"
        self.output = home / "up.log"
        self.manifests.mkdir()
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0

    @contextmanager
    def up(self, *arguments: str) -> Iterator[Product]:
        """It is ready inside, and gone afterwards as by Ctrl-C."""
        self.start(*arguments)
        try:
            self.wait_ready()
            yield self
        finally:
            self.stop()

    def start(self, *arguments: str) -> None:
        command = [
            *self.openkcm,
            "up",
            "--state",
            str(self.state),
            "--manifests",
            str(self.manifests),
            *arguments,
        ]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENKCM_")}
        environment |= self.settings
        with self.output.open("wb") as log:
            # A shell that starts jobs in the background makes them deaf to SIGINT; a terminal does not.
            self._process = subprocess.Popen(
                command,
                env=environment,
                stdout=log,
                stderr=log,
                preexec_fn=_hears_ctrl_c,  # noqa: PLW1509  # the test has no threads of its own
                start_new_session=True,
            )

    def wait_ready(self) -> None:
        until(lambda: "is ready after" in self.said() or self.ended() is not None)
        assert self.ended() is None, self.said()

    def ended(self) -> int | None:
        return self._process.poll() if self._process else 0

    def wait_ended(self) -> int:
        assert self._process is not None
        return self._process.wait(timeout=WITHIN_S)

    def stop(self) -> int:
        """Ctrl-C; returns the exit status."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        return self.wait_ended()

    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def run_file(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.state / "run.json").read_text())
        return found

    def addresses(self) -> dict[str, str]:
        found: dict[str, str] = self.run_file()["addresses"]
        return found

    def command(self, *arguments: str, status: int = 0) -> str:
        """What a command prints on stdout; it ends with ``status``."""
        done = subprocess.run(
            [*self.openkcm, *arguments, "--state", str(self.state)],
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )
        assert done.returncode == status, done.stderr
        return done.stdout

    def tenant(self, tenant: str) -> dict[str, Any] | None:
        listed = json.loads(self.command("tenants", "list", "--json"))
        return next((each for each in listed if each["id"] == tenant), None)

    def processes(self) -> list[int]:
        """Every living process whose command line names the state directory, or that is a child of the supervisor."""
        pids = [int(process["pid"]) for process in self.run_file()["processes"]]
        return [pid for pid in pids if alive(pid)]


@contextmanager
def signed_in(product: Product, tenant: str) -> Iterator[httpx2.Client]:
    """A browser that came in by a one-time link."""
    link = Path(product.command("tenants", "sign-in", tenant).strip()).read_text().strip()
    with httpx2.Client(headers={"accept": "text/html"}, trust_env=False) as client:
        assert client.post(link, data={"csrf": csrf(client.get(link).text)}).status_code == 303
        yield client


def first_record(product: Product, browser: httpx2.Client, tenant: str) -> str:
    """The commands that the tenant's home gives, with a token in them."""
    home = f"{product.addresses()['web']}/t/{tenant}"
    shown = browser.post(
        f"{home}/token", data={"csrf": csrf(browser.get(home).text)}, headers={"hx-request": "true"}
    )
    commands = re.search(r"<pre[^>]*>(.*?)</pre>", shown.text, re.DOTALL)
    assert commands
    return html.unescape(re.sub(r"<[^>]+>", "", commands[1]))


def csrf(page: str) -> str:
    """What a form of this page sends along."""
    found = re.search(r'name="csrf" value="([^"]+)"', page)
    assert found
    return found[1]


def _hears_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def until(true: Callable[[], object], *, within_s: float = WITHIN_S) -> None:
    """It has come true; looked at ten times a second."""
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.1)


def account(tenant: str, *, name: str = "payments", creator: str = "mara@example.org") -> str:
    """A Platform Mesh Account as it stands in the organisation's workspace."""
    return f"""apiVersion: core.platform-mesh.io/v1alpha1
kind: Account
metadata:
  name: {name}
  uid: {tenant}
  annotations:
    kcp.io/cluster: 2k7f9q1xw4m8zt3c
    kcp.io/path: root:orgs:fjordline
spec:
  type: account
  displayName: Payments
  creator: {creator}
"""
