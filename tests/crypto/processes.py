"""Starting a region as a process of its own, and ending it in every way."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from openkcm.crypto.settings import CryptoSettings, RegionSettings
from openkcm.parties.settings import PartiesSettings

_HERE = Path(__file__).resolve().parent
_CHANCE = random.SystemRandom()


def free_port() -> int:
    """A port that nobody listens at, below those that the kernel gives away: no connection takes it meanwhile."""
    for _ in range(100):
        port = _CHANCE.randrange(10_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no port is free")


@dataclass
class RegionProcess:
    """A running region."""

    settings: CryptoSettings
    process: subprocess.Popen[str]

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def region(self) -> RegionSettings:
        return RegionSettings(name=self.settings.region, address=self.settings.control_bind)

    @property
    def data(self) -> str:
        return f"http://{self.settings.data_bind}"

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=10)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=20)


def region_settings(directory: Path, name: str, dsn: str) -> CryptoSettings:
    return CryptoSettings(
        region=name,
        database=dsn,
        root_file=str(directory / f"{name}-root.json"),
        state_directory=str(directory / f"{name}-state"),
        data_bind=f"127.0.0.1:{free_port()}",
        control_bind=f"127.0.0.1:{free_port()}",
    )


def memory_plugin(directory: Path) -> dict[str, dict[str, str]]:
    """Settings by which a region's hosts reach the key management system in this folder."""
    return {
        "keystore_memory": {
            "directory": str(directory),
            "host_writes": str(directory),
            "deadline_s": "0.5",
        }
    }


def start_region(
    settings: CryptoSettings,
    parties: PartiesSettings,
    *,
    plugins: Mapping[str, Mapping[str, str]] | None = None,
    wrap: tuple[str, ...] = (),
    wait: bool = True,
) -> RegionProcess:
    given = msgspec.json.encode(
        {
            "crypto": msgspec.to_builtins(settings),
            "parties": msgspec.to_builtins(parties),
            "plugins": plugins or {},
        }
    ).decode()
    announced = {"PYTHONPATH": str(_HERE.parent / "announced")} if plugins else {}
    process = subprocess.Popen(
        [*wrap, sys.executable, str(_HERE / "run_region.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=None if os.environ.get("OPENKCM_TEST_LOGS") else subprocess.DEVNULL,
        text=True,
        env={**os.environ, **announced},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(given + "\n")
    process.stdin.close()
    if not wait:
        return RegionProcess(settings, process)
    line = process.stdout.readline().strip()
    if line != "started":
        process.wait(timeout=10)
        process.stdout.close()
        raise RuntimeError(line or f"exit {process.returncode}")
    return RegionProcess(settings, process)


@contextmanager
def running(
    settings: CryptoSettings,
    parties: PartiesSettings,
    *,
    plugins: Mapping[str, Mapping[str, str]] | None = None,
) -> Iterator[RegionProcess]:
    """The region runs inside; nothing is left of it after."""
    started = start_region(settings, parties, plugins=plugins)
    try:
        yield started
    finally:
        if started.process.poll() is None:
            started.stop()
        assert started.process.stdout is not None
        started.process.stdout.close()
