"""The installed product, from outside: ``openkcm up`` as a child, and the command ``openkcm`` beside it."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

import httpx2

from tests.demo import processes
from tests.demo.failed import DemoFailed
from tests.demo.place import Place

_UP_WITHIN_S = 120.0
_STOP_WITHIN_S = 30.0
_POLL_S = 0.02
_LAST_LINES = 12
_PR_SET_PDEATHSIG = 1
_OK = 200
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class Product:
    """``openkcm up`` on a state directory. ``hear`` gets each line that it says."""

    def __init__(self, place: Place, settings: Mapping[str, str], *, hear: Callable[[str], None]) -> None:
        self._place = place
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("OPENKCM_")},
            **settings,
        }
        self._hear = hear
        self._said: deque[str] = deque(maxlen=200)
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._launched = asyncio.Event()
        self.addresses: Mapping[str, str] = {}

    @property
    def web(self) -> str:
        """Where the pages are."""
        return self.addresses["web"]

    @property
    def pid(self) -> int:
        """The supervisor's; 0 before it was started."""
        return self._process.pid if self._process else 0

    async def start(self) -> float:
        """Up: the pages answer. Returns the seconds from the command to that answer."""
        began = time.monotonic()
        self._process = await asyncio.create_subprocess_exec(
            *COMMAND,
            "up",
            "--state",
            str(self._place.state),
            "--manifests",
            str(self._place.manifests),
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C comes to the demo, which ends the product in its own time
            preexec_fn=_ends_with_us(),
        )
        self._reader = asyncio.create_task(self._read())
        self._launched.set()
        async with asyncio.timeout(_UP_WITHIN_S), httpx2.AsyncClient(trust_env=False) as client:
            while not await self._answers(client):
                await asyncio.sleep(_POLL_S)
        return time.monotonic() - began

    async def ended(self) -> None:
        """Returns never; raises when ``openkcm up`` ends by itself.

        Raises:
            DemoFailed: with the last lines that it said.
        """
        await self._launched.wait()
        assert self._process is not None
        code = await self._process.wait()
        if self._reader is not None:
            await self._reader
        words = "\n".join(f"    {line}" for line in list(self._said)[-_LAST_LINES:])
        raise DemoFailed(
            f"openkcm up ended by itself with status {code}. Its last lines:\n{words or '    (none)'}\n"
            f"The logs are in {self._place.state / 'logs'}."
        )

    async def openkcm(self, *arguments: str) -> str:
        """What the command wrote.

        Raises:
            DemoFailed: it was refused; its own words say why.
        """
        return await self._checked(await self._command(arguments))

    @contextlib.asynccontextmanager
    async def following(self, tenant: str) -> AsyncIterator[AsyncIterator[Mapping[str, object]]]:
        """``openkcm tenants show ID --json --follow``: listens when the block begins, is gone when it is left."""
        process = await self._command(("tenants", "show", tenant, "--json", "--follow"))
        assert process.stderr is not None
        try:
            said = await process.stderr.readline()
            if not said.startswith(b"Waiting"):
                await self._checked(process, said)
            yield self._lines(process)
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
            await process.communicate()

    async def _lines(self, process: asyncio.subprocess.Process) -> AsyncIterator[Mapping[str, object]]:
        assert process.stdout is not None
        async for line in process.stdout:
            yield json.loads(line)
        await self._checked(process)

    async def _checked(self, process: asyncio.subprocess.Process, said: bytes = b"") -> str:
        """What the process wrote, now that it has ended well; ``said`` was already read of its complaint."""
        out, err = await process.communicate()
        if process.returncode:
            words = (said + err).decode("utf-8", "replace").strip()
            raise DemoFailed(f"An openkcm command failed: {words[:600]}")
        return out.decode("utf-8")

    async def sign_in_link(self, tenant: str) -> str:
        """A fresh one-time link. The command hands it over in a file that only we can read."""
        file = self._place.link
        await self.openkcm("tenants", "sign-in", tenant, "--file", str(file))
        link = file.read_text(encoding="utf-8").strip()
        file.unlink()
        return link

    async def stop(self) -> list[str]:
        """Stopped. Returns what was left behind, in words; nothing of that should ever be."""
        if self._process is None:
            return []
        family = processes.below(self._process.pid)
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        left: list[str] = []
        try:
            await asyncio.wait_for(self._process.wait(), _STOP_WITHIN_S)
        except TimeoutError:
            left.append(
                f"openkcm up (process {self._process.pid}) did not stop within {_STOP_WITHIN_S:.0f} s"
            )
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            await self._process.wait()
        if self._reader is not None:
            await self._reader
        return left + await self._left_behind(family)

    async def _left_behind(self, family: Sequence[processes.Process]) -> list[str]:
        alive: list[processes.Process] = []
        for _ in range(50):  # a process that is ending may need a moment to be gone
            alive = [each for each in family if each.lives]
            if not alive:
                break
            await asyncio.sleep(0.1)
        left = [f"process {each.pid}: {each.command[:120]}" for each in alive]
        left += [f"a listener at {address}" for address in self.addresses.values() if _listens(address)]
        return left + [str(path) for path in (self._place.lock, self._place.run_file) if self._names_us(path)]

    def _names_us(self, path: Path) -> bool:
        """Whether the file says that our supervisor runs; another's, whose place this is too, is its own matter."""
        try:
            content = path.read_text(encoding="utf-8")
            named = content.strip() if path == self._place.lock else str(json.loads(content)["pid"])
        except (OSError, ValueError, KeyError):
            return False
        return named == str(self.pid)

    async def _command(self, arguments: Sequence[str]) -> asyncio.subprocess.Process:
        settings = self.addresses.get("settings", "")
        return await asyncio.create_subprocess_exec(
            *COMMAND,
            *arguments,
            env={**self._environment, "OPENKCM_CONFIG": settings},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            preexec_fn=_ends_with_us(),
        )

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            words = line.decode("utf-8", "replace").rstrip()
            if words:
                self._said.append(words)
                self._hear(words)

    async def _answers(self, client: httpx2.AsyncClient) -> bool:
        try:
            content = json.loads(self._place.run_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        if content.get("pid") != self.pid or "web" not in content.get("addresses", {}):
            return False
        self.addresses = content["addresses"]
        with contextlib.suppress(httpx2.HTTPError):
            return (await client.get(f"{self.web}/readyz")).status_code == _OK
        return False


def _listens(address: str) -> bool:
    return address.startswith("http") and processes.listens(address)


def _openkcm() -> tuple[str, ...]:
    """The command as it was installed beside this Python."""
    script = Path(sys.executable).with_name("openkcm")
    return (str(script),) if script.exists() else (sys.executable, "-m", "openkcm")


def _ends_with_us() -> Callable[[], None] | None:
    """If the demo is killed outright, the kernel asks its children to end: prctl(2), PR_SET_PDEATHSIG."""
    return end_with_parent if _LIBC is not None else None


def end_with_parent() -> None:
    """This process gets SIGTERM when its parent dies."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)


COMMAND = _openkcm()
