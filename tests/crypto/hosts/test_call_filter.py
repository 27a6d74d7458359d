"""What the filter on system calls alone keeps a process from: an older kernel's Landlock knows no signals."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

from tests.crypto.hosts.test_spies import needs_filter

_BY_DESCRIPTOR = """
import fcntl, os, signal, socket, sys
from openkcm.crypto.hosts.call_filter import filter_calls
assert filter_calls()
ours, theirs = socket.socketpair()
try:
    fcntl.fcntl(ours, fcntl.F_SETOWN, int(sys.argv[1]))
    fcntl.fcntl(ours, 10, signal.SIGUSR1)  # F_SETSIG
except PermissionError:
    print("refused")
fcntl.fcntl(ours, fcntl.F_SETFL, fcntl.fcntl(ours, fcntl.F_GETFL) | os.O_ASYNC)
theirs.send(b"x")
"""


def test_a_filtered_process_has_no_descriptor_signal_another_process_of_its_uid() -> None:
    needs_filter()
    with subprocess.Popen(
        [sys.executable, "-c", "import time; print(1, flush=True); time.sleep(60)"], stdout=subprocess.PIPE
    ) as victim:
        try:
            assert victim.stdout is not None
            victim.stdout.readline()
            done = subprocess.run(
                [sys.executable, "-c", _BY_DESCRIPTOR, str(victim.pid)],
                capture_output=True,
                check=False,
                text=True,
                timeout=60,
            )
            time.sleep(0.2)
            assert victim.poll() is None, "it was ended by a signal"
            assert done.stdout == "refused\n", done.stderr
        finally:
            victim.send_signal(signal.SIGKILL)
