"""``python -m tests.bench.profile [FOLDER]``: where the time of a burst of new accounts goes.

Prints the processor seconds of each process from the first manifest to the last account that is ready. With a FOLDER
and ``py-spy`` on the PATH, a profile of worker, web and Crypto Service is written there (``raw``: stack, samples).
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections import defaultdict
from pathlib import Path

from tests.bench.installed import Installed, drop_many, home, installed, watching
from tests.demo.processes import below

_TICKS = os.sysconf("SC_CLK_TCK")
_COUNT = 1000
_PROFILED = ("worker", "web", "crypto")


async def profile(folder: Path | None) -> None:
    """One burst after a small one that warms everything up."""
    async with home() as place, installed(place) as product, watching(product) as watch:
        accounts, began = drop_many(place, 50)
        await watch.all_told_s(accounts, began)
        before = _spent(product)
        profilers = await _attach(product, folder)
        accounts, began = drop_many(place, _COUNT)
        ready_s = await watch.all_ready_s(accounts, began)
        spent = {name: seconds - before.get(name, 0.0) for name, seconds in _spent(product).items()}
        for each in profilers:
            each.send_signal(2)
            await each.wait()
        told_s = await watch.all_told_s(accounts, began)
    print(
        f"{_COUNT} accounts ready after {ready_s:.2f} s, all told after {told_s:.2f} s. Processor seconds until ready:"
    )
    for name, seconds in sorted(spent.items(), key=lambda item: -item[1]):
        print(f"  {name:<12} {seconds:6.2f}")
    print(f"  {'sum':<12} {sum(spent.values()):6.2f}")


async def _attach(product: Installed, folder: Path | None) -> list[asyncio.subprocess.Process]:
    spy = shutil.which("py-spy")
    if folder is None or spy is None:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for name, pid in _processes(product).items():
        if name in _PROFILED:
            arguments = (
                "record",
                "-r",
                "200",
                "-d",
                "120",
                "-f",
                "raw",
                "-o",
                str(folder / f"{name}.txt"),
                "-p",
                str(pid),
            )
            found.append(
                await asyncio.create_subprocess_exec(spy, *arguments, stdout=asyncio.subprocess.DEVNULL)
            )
    await asyncio.sleep(1)
    return found


def _processes(product: Installed) -> dict[str, int]:
    content = json.loads(product.place.run_file.read_text(encoding="utf-8"))
    return {each["name"]: each["pid"] for each in content["processes"]}


def _spent(product: Installed) -> dict[str, float]:
    """Processor seconds by process; those of PostgreSQL's backends together, and ours with the mail server's."""
    names = {pid: name for name, pid in _processes(product).items()}
    found: defaultdict[str, float] = defaultdict(float)
    for process in below(product.product.pid):
        found[names.get(process.pid, "postgres" if "postgres" in process.command else "up")] += _seconds(
            process.pid
        )
    found["this (mail)"] = _seconds(os.getpid())
    return found


def _seconds(pid: int) -> float:
    try:
        fields = (
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        )
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / _TICKS


if __name__ == "__main__":
    asyncio.run(profile(Path(sys.argv[1]) if len(sys.argv) > 1 else None))
