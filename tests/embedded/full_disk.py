"""``full_disk.py DIR MIB``: PostgreSQL starts on a small file system while it is full, and when there is room."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from openkcm.embedded.postgres import start_postgres
from openkcm.embedded.state import open_mode
from openkcm.sdk.refusals import Refusal, Refused

HALF_MADE = ("data", "data.new-*", "superuser.password", "lock", "programs")


def fill(path: Path, *, leave_mib: int) -> None:
    room = os.statvfs(path.parent)
    with path.open("wb") as filler:
        os.posix_fallocate(filler.fileno(), 0, room.f_bavail * room.f_frsize - leave_mib * 1024 * 1024 or 1)


async def refused(state: Path, run: Path) -> None:
    with pytest.raises(Refused, match="no room left on the disk") as full:
        await start_postgres(state, run)
    assert full.value.refusal is Refusal.DISK_FULL


async def main(place: Path, leave_mib: int) -> None:
    place.chmod(open_mode())
    state, run, filler = place / "state", place.parent / "run", place / "filler"
    fill(filler, leave_mib=leave_mib)
    await refused(state, run)
    left = [name for name in HALF_MADE if any((state / "postgres").glob(name))]
    assert not left, left
    filler.unlink()
    await (await start_postgres(state, run)).stop()
    password = (state / "postgres" / "superuser.password").read_text()
    fill(filler, leave_mib=0)
    await refused(state, run)
    assert not (state / "postgres" / "lock").exists()
    filler.unlink()
    await (await start_postgres(state, run)).stop()
    assert (state / "postgres" / "superuser.password").read_text() == password
    print("whole")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
