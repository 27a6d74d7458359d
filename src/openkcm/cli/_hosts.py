"""What ``openkcm doctor`` finds of key-store hosts: whether this machine can keep a plugin to what is its own."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Sequence
from typing import Final

import msgspec

from openkcm.cli._files import embedded_state
from openkcm.cli._reach import Finding
from openkcm.settings import Settings

_WITHIN_S: Final = 20.0
_CONFINE: Final = (sys.executable, "-I", "-B", "-m", "openkcm.crypto.hosts.confine")
_ABOUT: Final = "key-store hosts"
_PAGE: Final = "how-it-works/key-store-hosts"


class _Confined(msgspec.Struct, frozen=True, kw_only=True):
    landlock: int
    account: int
    filtered: bool


async def hosts(settings: Settings) -> list[Finding]:
    """What there is to say of hosts where these settings are a region's, or its that 'openkcm up' runs here."""
    here = settings.crypto is not None or embedded_state(settings) is not None
    return [await confinement()] if here else []


async def confinement(command: Sequence[str] = _CONFINE) -> Finding:
    """What a process came to that confined itself here as a host does, under this account."""
    process = await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL)
    try:
        said, _ = await asyncio.wait_for(process.communicate(), _WITHIN_S)
        found = msgspec.json.decode(said, type=_Confined)
    except TimeoutError:
        process.kill()
        await process.wait()
        return _failed()
    except msgspec.DecodeError:
        return _failed()
    return _told(found)


def _told(found: _Confined) -> Finding:
    calls = "its system calls are filtered" if found.filtered else "its system calls are not filtered"
    if found.landlock:
        said = f"A plugin is confined by Landlock (ABI {found.landlock}), and {calls}."
    elif found.account:
        said = f"A plugin runs under an account of its own, and {calls}. This kernel has no Landlock."
    else:
        return Finding(
            level="risk",
            about=_ABOUT,
            said="A plugin could read what this account may read, the region's root too: this machine has no Landlock, "
            "and no account of its own can be given to a host.",
            action=f"Run crypto on Linux 5.13 or later with Landlock switched on ({_PAGE}).",
        )
    if not found.filtered:
        return Finding(
            level="warn",
            about=_ABOUT,
            said=said,
            action="Run crypto on x86-64 or arm64, where seccomp filters are allowed.",
        )
    return Finding(level="ok", about=_ABOUT, said=said)


def _failed() -> Finding:
    return Finding(
        level="bad",
        about=_ABOUT,
        said="A process could not confine itself as key-store hosts do, so no host would start.",
        action=f"Allow prctl, seccomp and Landlock's system calls to this account ({_PAGE}).",
    )
