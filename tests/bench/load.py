"""Load by ``wrk``, which leaves the server's core to the server, and what the server spent on it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.demo.failed import DemoFailed

SERVER_CORE, CLIENT_CORE = 0, 1
_TICKS = os.sysconf("SC_CLK_TCK")
_SCRIPT = """
local requests, at = {}, 0
function init(arguments)
    for line in io.lines(arguments[1]) do
        local token, path, body = line:match("^(%S+) (%S+) (.*)$")
        requests[#requests + 1] = wrk.format("POST", path,
            {["Authorization"] = "Bearer " .. token, ["Content-Type"] = "application/json"}, body)
    end
end
function request()
    at = at % #requests + 1
    return requests[at]
end
function done(summary, latency, _)
    local errors = summary.errors
    io.write(string.format('{"requests": %d, "duration_us": %d, "p50_us": %d, "p99_us": %d, ',
        summary.requests, summary.duration, latency:percentile(50), latency:percentile(99)))
    io.write(string.format('"refused": %d, "broken": %d}\\n',
        errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request: a JSON body for a path."""

    token: str
    path: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What a load came to: answers (all of them 200) a second, their times, and the server's processor seconds."""

    per_second: float
    p50_s: float
    p99_s: float
    answers: int
    spent_s: float

    @property
    def per_core(self) -> float:
        """Answers for each second that the server's processes spent on a core."""
        return self.answers / self.spent_s


class Load:
    """The requests of a load, one after the other over all its connections, written once."""

    def __init__(self, folder: Path, asks: Sequence[Ask]) -> None:
        if shutil.which("wrk") is None or shutil.which("taskset") is None:
            raise DemoFailed("wrk is not on this machine: apt install wrk")
        self._script, self._asks = folder / "load.lua", folder / f"asks-{len(asks)}"
        self._script.write_text(_SCRIPT, encoding="utf-8")
        self._asks.write_bytes(b"\n".join(f"{ask.token} {ask.path} ".encode() + ask.body for ask in asks))

    async def run(
        self, address: str, *, connections: int, for_s: float, servers: Sequence[int], pinned: bool = True
    ) -> Loaded:
        """``servers`` are the process ids of who answers at ``address``.

        Raises:
            DemoFailed: an answer was not 200, or a connection broke.
        """
        before = sum(map(spent_s, servers))
        core = ["taskset", "-c", str(CLIENT_CORE)] if pinned else []
        process = await asyncio.create_subprocess_exec(
            *core,
            *("wrk", "-t1", f"-c{connections}", f"-d{max(1, round(for_s))}s", "-s", str(self._script)),
            *(address, "--", str(self._asks)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        spent = sum(map(spent_s, servers)) - before
        lines = said.decode("utf-8", "replace").splitlines()
        told = next((json.loads(line) for line in reversed(lines) if line.startswith("{")), None)
        if process.returncode or told is None or told["refused"] or told["broken"] or not told["requests"]:
            raise DemoFailed(f"The load failed: {told or lines[-1:]}")
        return Loaded(
            per_second=told["requests"] / (told["duration_us"] / 1e6),
            p50_s=told["p50_us"] / 1e6,
            p99_s=told["p99_us"] / 1e6,
            answers=told["requests"],
            spent_s=spent,
        )


def keep_on(pid: int, core: int = SERVER_CORE) -> None:
    """All threads of this process run on one core from now on."""
    for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - names are all that is wanted
        os.sched_setaffinity(int(thread), {core})


def spent_s(pid: int) -> float:
    """Processor seconds of this process since its start, in all its threads."""
    fields = (
        Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    )
    return sum(map(int, fields[11:13])) / _TICKS
