"""Which plugins the worker left out, as it tells whoever supervises it: in the file that says that it is ready."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from openkcm.catalog.registry import Broken
from openkcm.embedded.files import write_private
from openkcm.sdk.refusals import Refusal


class _Ready(msgspec.Struct, frozen=True, kw_only=True):
    pid: int
    left_out: tuple[str, ...]


def write_ready(file: Path, broken: Iterable[Broken]) -> None:
    """The file is there, whole: this process is ready, without the plugins of ``broken``."""
    ready = _Ready(pid=os.getpid(), left_out=tuple(_line(each) for each in broken))
    write_private(file, msgspec.json.encode(ready).decode())


def read_left_out(file: Path) -> Sequence[str]:
    """One line for each plugin that was left out: its name, why, and what to do. None where the process ended since."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=_Ready).left_out
    except FileNotFoundError:
        return ()


def _line(broken: Broken) -> str:
    said = " ".join(broken.reason.split())
    # What is not installed says by itself what to do.
    what = "" if broken.refusal is Refusal.PLUGIN_MISSING else " Mend it or its settings, then start again."
    return f"{broken.name}: {said}{what}"
