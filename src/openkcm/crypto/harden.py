"""What a process does to itself before it holds a key: no core file, no dump, no same-uid debugger."""

from __future__ import annotations

import ctypes
import os
import resource
from typing import Final

from openkcm.sdk.refusals import Permanent, Refusal, Remedy

_PR_SET_DUMPABLE: Final = 4
_PR_GET_DUMPABLE: Final = 3


def harden() -> None:
    """The process leaves no core file and is not dumpable: ptrace by its own uid and reads of its memory are refused.

    Root is not bound by it (CAP_SYS_PTRACE). Children inherit the core limit, and get dumpable back when they exec.

    Raises:
        Permanent: START_FAILED, where the kernel did not take it.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 or dumpable():
        raise Permanent(
            Refusal.START_FAILED,
            f"The kernel refused to make this process non-dumpable ({os.strerror(ctypes.get_errno())}).",
            remedy=Remedy(
                "Run crypto on Linux, without a filter on prctl.",
                "operator",
                "reference/crypto-service#start",
            ),
        )


def dumpable() -> bool:
    """Whether this process could be dumped or traced by its own uid."""
    return bool(ctypes.CDLL(None, use_errno=True).prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0))
