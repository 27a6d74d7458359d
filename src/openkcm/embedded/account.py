"""Whom the database and queue servers run as: ourselves, or ``nobody`` when we are root.

Root of a user namespace (``unshare -r``, some containers) is root by name alone: where ``nobody`` is not mapped, it
cannot be given files. There the servers run as ourselves, under the number of ``nobody`` in a namespace of their own.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from openkcm.sdk.refusals import Permanent, Refusal, Remedy

_UNPRIVILEGED = "nobody"
_MAPPED = Path("/proc/self/uid_map")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user and group of the system; ``drops`` is true when a child has to change to it.

    ``enters`` is put before a child's command where it has to enter a namespace for that.
    """

    uid: int
    gid: int
    name: str
    drops: bool
    enters: Sequence[str] = ()

    def own(self, path: Path) -> None:
        """The path belongs to this account."""
        if self.drops:
            os.chown(path, self.uid, self.gid)

    def can_enter(self, directory: Path) -> bool:
        """Whether this account may pass through the directory to what lies in it."""
        return not self.drops or self._allowed(directory, 1)

    def can_read(self, path: Path) -> bool:
        """Whether this account may read the path, and every folder above it may be entered."""
        if not self.drops:
            return os.access(path, os.R_OK)
        path = path.resolve()
        return self._allowed(path, 4) and all(self._allowed(parent, 1) for parent in path.parents)

    def _allowed(self, path: Path, bit: int) -> bool:
        # By mode bits alone: asking the kernel would mean becoming the account first.
        found = path.stat()
        shift = 6 if found.st_uid == self.uid else 3 if found.st_gid == self.gid else 0
        return bool(found.st_mode >> shift & bit)


def is_system_root() -> bool:
    """Whether we are root of a system with more accounts than our own."""
    if os.geteuid() != 0:
        return False
    try:
        return _is_mapped(pwd.getpwnam(_UNPRIVILEGED).pw_uid)
    except KeyError:
        return True  # told by server_account


def _is_mapped(uid: int) -> bool:
    try:
        ranges = [list(map(int, line.split())) for line in _MAPPED.read_text("ascii").splitlines()]
    except OSError:
        return True  # no user namespaces here
    return any(first <= uid < first + count for first, _, count in ranges)


def server_account() -> Account:
    """The account for server processes. PostgreSQL refuses root and needs an account with a name.

    Raises:
        Refused: START_FAILED when our uid (or, as root, ``nobody``) has no entry in the system's accounts.
    """
    uid = os.geteuid()
    try:
        entry = pwd.getpwnam(_UNPRIVILEGED) if uid == 0 else pwd.getpwuid(uid)
    except KeyError as missing:
        who = f"the account '{_UNPRIVILEGED}'" if uid == 0 else f"uid {uid}"
        raise Permanent(
            Refusal.START_FAILED,
            f"PostgreSQL needs an account with a name, and {who} has no entry in /etc/passwd.",
            remedy=Remedy(
                f"Add {who} to /etc/passwd of this machine or container image, or run as another user.",
                "operator",
                "howto/embedded#accounts",
            ),
        ) from missing
    if uid == 0 and not _is_mapped(entry.pw_uid):
        mapping = (f"--map-user={entry.pw_uid}", f"--map-group={entry.pw_gid}")
        return Account(uid=0, gid=0, name=entry.pw_name, drops=False, enters=("unshare", "--user", *mapping))
    gid = entry.pw_gid if uid == 0 else os.getegid()
    return Account(uid=entry.pw_uid, gid=gid, name=entry.pw_name, drops=uid == 0)
