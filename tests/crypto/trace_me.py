"""Two children of one plain uid, one of them hardened; a third of the same uid tries to look into both. Prints JSON."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
from pathlib import Path

from openkcm.crypto.harden import harden

PLAIN_UID = 65534
PTRACE_ATTACH, PTRACE_DETACH, PR_SET_DUMPABLE = 16, 17, 4
libc = ctypes.CDLL(None, use_errno=True)


def become_plain() -> None:
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(PLAIN_UID)
        os.setuid(PLAIN_UID)
    libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)  # a change of uid takes it away; here hardening alone shall do so


def sleeper(*, hardened: bool) -> int:
    ready, tell = os.pipe()
    if (pid := os.fork()) == 0:
        become_plain()
        if hardened:
            harden()
        assert (resource.getrlimit(resource.RLIMIT_CORE)[0] == 0) or not hardened
        os.write(tell, b"!")
        while True:
            signal.pause()
    os.read(ready, 1)
    return pid


def looks_into(target: int) -> dict[str, bool]:
    result, tell = os.pipe()
    if (pid := os.fork()) == 0:
        become_plain()
        try:
            reads = len(Path(f"/proc/{target}/environ").read_bytes()) >= 0
        except PermissionError:
            reads = False
        attaches = libc.ptrace(PTRACE_ATTACH, target, 0, 0) == 0
        if attaches:
            os.waitpid(target, 0)
            libc.ptrace(PTRACE_DETACH, target, 0, 0)
        os.write(tell, json.dumps({"reads": reads, "attaches": attaches}).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    found: dict[str, bool] = json.loads(os.read(result, 1000))
    return found


def main() -> None:
    soft, hard = sleeper(hardened=False), sleeper(hardened=True)
    try:
        print(json.dumps({"soft": looks_into(soft), "hard": looks_into(hard)}))
    finally:
        for pid in (soft, hard):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
    sys.exit(0)
