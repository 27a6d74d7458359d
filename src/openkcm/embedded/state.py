"""The state directory: where it is, who may be in it, and that one process at a time uses it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from openkcm.embedded.account import is_system_root
from openkcm.embedded.files import make_directory
from openkcm.embedded.logfile import full_disk
from openkcm.sdk.refusals import Permanent, Refusal, Remedy

LONGEST_SOCKET_PATH = 107  # sun_path without its closing zero; unix(7)
_LOCK_TRIES, _LOCK_PAUSE_S = 20, 0.01
_LONGEST_SOCKET_NAME = len("/valkey/valkey.sock")  # the longest below a run directory


@dataclass(frozen=True, slots=True)
class StateDirectory:
    """One embedded installation's files. As root 0711, so that ``nobody`` reaches what is his; else 0700."""

    path: Path

    @property
    def postgres(self) -> Path:
        return self.path / "postgres"

    @property
    def valkey(self) -> Path:
        return self.path / "valkey"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def run_file(self) -> Path:
        return self.path / "run.json"

    @property
    def database_secrets(self) -> Path:
        return self.path / "databases.json"

    def make(self) -> StateDirectory:
        """The directory and its ``logs`` exist with their modes.

        Raises:
            Refused: DISK_FULL, or SETTING_INVALID when it cannot be made or belongs to somebody else.
        """
        try:
            make_directory(self.path, open_mode())
            make_directory(self.logs, 0o700)
        except OSError as error:
            raise Permanent(
                Refusal.SETTING_INVALID,
                f"The state directory {self.path} cannot be used: {os.strerror(error.errno or 0)}.",
                remedy=Remedy(
                    "Name a folder that this account owns, on a local disk.",
                    "operator",
                    "howto/embedded#state",
                ),
            ) from error
        return self


def open_mode() -> int:
    """Mode of a directory that the servers' account must pass through."""
    return 0o711 if is_system_root() else 0o700


def default_state_directory(name: str = "") -> Path:
    """As root /var/lib/openkcm, else openkcm below the XDG state directory; ``name`` is a folder in it."""
    if is_system_root():
        top = Path("/var/lib/openkcm")
    else:
        xdg = os.environ.get("XDG_STATE_HOME", "")
        top = (Path(xdg) if xdg.startswith("/") else Path.home() / ".local" / "state") / "openkcm"
    return top / name if name else top


def run_directory(state: Path) -> Path:
    """A directory for sockets, short enough for them, made and ours: one per state directory.

    ``/run`` as root, XDG_RUNTIME_DIR as a user, else the system's temporary folder.

    Raises:
        Refused: FILE_MODE when another account has made the name in the temporary folder.
    """
    name = "openkcm-" + hashlib.sha256(str(state.resolve()).encode()).hexdigest()[:10]
    root = is_system_root()
    runtime = "/run" if root else os.environ.get("XDG_RUNTIME_DIR", "")
    places = [Path(runtime)] if runtime.startswith("/") else []
    places += [Path(tempfile.gettempdir()), Path("/tmp")]  # noqa: S108 - own_directory refuses what others made
    for place in places:
        path = place / (name if place == Path(runtime) else f"{name}-{os.geteuid()}")
        if (
            os.access(place, os.W_OK | os.X_OK)
            and len(os.fsencode(path)) + _LONGEST_SOCKET_NAME <= LONGEST_SOCKET_PATH
        ):
            return own_directory(path)
    raise Permanent(
        Refusal.SETTING_INVALID,
        f"No folder for sockets was found: {', '.join(map(str, places))} cannot be written or is too long.",
        remedy=Remedy(
            "Set XDG_RUNTIME_DIR to a short folder of your own.", "operator", "howto/embedded#sockets"
        ),
    )


def own_directory(path: Path) -> Path:
    """The directory is there, is no link, belongs to us and nobody else may write in it.

    Raises:
        Refused: FILE_MODE when it belongs to another account.
    """
    with full_disk(path.parent):
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        path.mkdir(mode=open_mode(), exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise Permanent(
            Refusal.FILE_MODE,
            f"{path} was made by another account (uid {found.st_uid}); sockets in it could be somebody else's.",
            remedy=Remedy(
                "Remove it as its owner or as root, then start again.", "operator", "howto/embedded#sockets"
            ),
        )
    path.chmod(open_mode())
    return path


def check_socket(path: Path) -> Path:
    """The path may be a unix socket's.

    Raises:
        Refused: SETTING_INVALID when it is longer than the kernel allows.
    """
    length = len(os.fsencode(path))
    if length > LONGEST_SOCKET_PATH:
        raise Permanent(
            Refusal.SETTING_INVALID,
            f"The socket path {path} has {length} bytes; {LONGEST_SOCKET_PATH} are possible.",
            remedy=Remedy("Use a run directory with a shorter path.", "operator", "howto/embedded#sockets"),
        )
    return path


class Lock:
    """Held, nobody else holds it; it ends with this process, however that ends."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    @classmethod
    def take(cls, path: Path, *, what: str) -> Lock:
        """The lock is ours and its file names our pid.

        Waits at most 0.2 s, for somebody who only looks.

        Raises:
            Refused: ALREADY_RUNNING, naming the pid that holds it; DISK_FULL.
        """
        holder = ""
        for last in (False,) * _LOCK_TRIES + (True,):
            with full_disk(path.parent):
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
                os.close(descriptor)
                if last or _lives(holder):
                    break
                time.sleep(_LOCK_PAUSE_S)  # somebody only looks, or is about to write its pid
                continue
            if _same_file(descriptor, path):
                return cls._sign(path, descriptor)
            os.close(descriptor)  # the last holder removed it while we waited for it
        raise Permanent(
            Refusal.ALREADY_RUNNING,
            f"{what} is already in use by process {holder or '(just starting)'} ({path.parent}).",
            remedy=Remedy(
                "Use that one, stop it, or start with another state directory.",
                "operator",
                "howto/embedded#state",
            ),
        )

    @classmethod
    def _sign(cls, path: Path, descriptor: int) -> Lock:
        try:
            with full_disk(path.parent):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except BaseException:
            path.unlink(missing_ok=True)
            os.close(descriptor)
            raise
        return cls(path, descriptor)

    def release(self) -> None:
        """Nobody holds the lock and its file is gone. Safe to call twice."""
        if self._descriptor >= 0:
            self.path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = -1


def _lives(pid: str) -> bool:
    return pid.isdigit() and Path(f"/proc/{pid}").exists()


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def is_locked(path: Path) -> bool:
    """Whether a living process holds the lock."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
