"""A file that is there whole or not at all."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkstemp
from typing import BinaryIO

from openkcm_client.segments import SEGMENT_BYTES


@dataclass(frozen=True, slots=True)
class _Part:
    """A file beside ``target``, readable by its owner alone, that takes its place in the end."""

    target: Path
    path: Path
    file: BinaryIO

    @classmethod
    def of(cls, target: Path) -> _Part:
        descriptor, name = mkstemp(dir=target.parent, prefix=f".{target.name}.")
        return cls(target, Path(name), os.fdopen(descriptor, "wb"))

    def keep(self) -> None:
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        self.path.replace(self.target)

    def drop(self) -> None:
        self.file.close()
        self.path.unlink(missing_ok=True)


def write_whole(source: Path, target: Path, work: Callable[[BinaryIO], Iterable[bytes]]) -> None:
    """``target`` holds what ``work`` makes of ``source``, on the disk.

    It gets its name after the last piece, so that one which is cut short or does not open leaves what was there.

    Raises: what ``work`` raises; OSError.
    """
    with source.open("rb") as read:
        part = _Part.of(target)
        try:
            part.file.writelines(work(read))
            part.keep()
        except BaseException:
            part.drop()
            raise


async def write_whole_async(target: Path, pieces: AsyncIterable[bytes]) -> None:
    """As ``write_whole``, of pieces; the file is waited for in a thread."""
    part = await asyncio.to_thread(_Part.of, target)
    try:
        async for piece in pieces:
            await asyncio.to_thread(part.file.write, piece)
        await asyncio.to_thread(part.keep)
    except BaseException:
        part.drop()
        raise


async def read_async(source: Path) -> AsyncIterator[bytes]:
    """The file's bytes, a MiB at a time."""
    file = await asyncio.to_thread(source.open, "rb")
    with file:
        while piece := await asyncio.to_thread(file.read, SEGMENT_BYTES):
            yield piece
