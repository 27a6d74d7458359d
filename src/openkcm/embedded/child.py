"""Child processes that cannot outlive us: a session of their own, a clean environment, a signal when we die."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from openkcm.embedded.account import Account
from openkcm.embedded.logfile import open_log
from openkcm.sdk.refusals import Permanent, Refusal, Remedy

# All that a child sees of our environment. Anything else (credentials, LD_PRELOAD, PYTHONPATH) is passed by name.
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR")
_PR_SET_PDEATHSIG = 1
_POLL_S = 0.05
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How a child is started. ``env`` is the whole of its environment."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    log: Path | int  # a file to append to, or an open descriptor
    account: Account | None = None
    cwd: Path | None = None
    death_signal: signal.Signals = signal.SIGTERM
    pass_fds: Sequence[int] = field(default=())


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Only the allow-listed variables of ours, and what the caller adds by name."""
    kept = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return {**kept, **(extra or {})}


def dies_with_parent(death_signal: signal.Signals) -> Callable[[], None] | None:
    """What the forked child runs last before exec: it asks the kernel for ``death_signal`` when its parent dies.

    Runs after setuid, which clears the wish. The wish is tied to the *thread* that forked, so callers fork from
    the main thread. Source: prctl(2), PR_SET_PDEATHSIG.
    """
    if _LIBC is None:
        return None
    prctl, parent = _LIBC.prctl, os.getpid()

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != parent:  # the parent died before the wish was heard
            os._exit(1)

    return ask


class Child:
    """A running child process; its end is noticed without a thread and without SIGCHLD."""

    def __init__(self, process: subprocess.Popen[bytes], launch: Launch) -> None:
        self.launch = launch
        self.pid = process.pid
        self._process = process
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[int] = self._loop.create_future()
        self._pidfd = os.pidfd_open(process.pid) if sys.platform == "linux" else -1
        if self._pidfd >= 0:
            self._loop.add_reader(self._pidfd, self._reap)
        else:
            self._loop.call_later(_POLL_S, self._poll)

    @property
    def returncode(self) -> int | None:
        return self._done.result() if self._done.done() else None

    @property
    def name(self) -> str:
        return self.launch.name

    async def wait(self) -> int:
        """The exit status once it has ended; negative is the signal that ended it."""
        return await asyncio.shield(self._done)

    def send(self, which: signal.Signals) -> None:
        """The child has been sent the signal, unless it has already ended."""
        if not self._done.done():
            with suppress(ProcessLookupError):
                os.kill(self.pid, which)

    async def stop(self, *stages: tuple[signal.Signals, float]) -> int:
        """Ended: by each (signal, seconds to wait) in turn, at last by SIGKILL to its whole session."""
        for which, grace_s in stages or ((signal.SIGTERM, 10.0),):
            self.send(which)
            with suppress(TimeoutError):
                return await asyncio.wait_for(asyncio.shield(self._done), grace_s)
        self._kill_session()
        return await self.wait()

    def _kill_session(self) -> None:
        # Whoever the child left behind in its session goes too. The number is still ours: not reaped yet.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def _reap(self) -> None:
        self._loop.remove_reader(self._pidfd)
        self._kill_session()
        code = self._process.wait()
        os.close(self._pidfd)
        self._settle(code)

    def _poll(self) -> None:
        code = self._process.poll()
        if code is None:
            self._loop.call_later(_POLL_S, self._poll)
        else:
            self._settle(code)

    def _settle(self, code: int) -> None:
        if not self._done.done():
            self._done.set_result(code)


def spawn(launch: Launch) -> Child:
    """The child runs, in its own session, with its output at the end of ``launch.log``.

    Raises:
        Refused: DISK_FULL or START_FAILED. Call from the main thread, inside a running loop.
    """
    account = launch.account
    drops = account is not None and account.drops
    log = os.dup(launch.log) if isinstance(launch.log, int) else open_log(launch.log)
    try:
        process = subprocess.Popen(
            [*(account.enters if account else ()), *launch.argv],
            env=dict(launch.env),
            cwd=launch.cwd or "/",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            close_fds=True,
            pass_fds=tuple(launch.pass_fds),
            start_new_session=True,
            user=account.uid if account and drops else None,
            group=account.gid if account and drops else None,
            extra_groups=() if drops else None,
            umask=0o077,
            preexec_fn=dies_with_parent(launch.death_signal),  # noqa: PLW1509 - a few system calls, no thread of ours forks
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise Permanent(
            Refusal.START_FAILED,
            f"{launch.name} could not be started from {launch.argv[0]}: {_why(error)}.",
            remedy=Remedy(
                "Check that the file exists and may be run by this account.", "operator", "howto/embedded"
            ),
        ) from error
    finally:
        os.close(log)
    return Child(process, launch)


def _why(error: BaseException) -> str:
    if isinstance(error, OSError):
        return os.strerror(error.errno) if error.errno else "the system refused"
    return "this process may not become another account here"
