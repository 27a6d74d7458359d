"""Whom the database and queue servers run as: ourselves, or ``nobody`` when we are root."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from openkcm.sdk.refusals import Permanent, Refusal, Remedy

_UNPRIVILEGED = "nobody"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user and group of the system; ``drops`` is true when a child has to change to it."""

    uid: int
    gid: int
    name: str
    drops: bool

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
    gid = entry.pw_gid if uid == 0 else os.getegid()
    return Account(uid=entry.pw_uid, gid=gid, name=entry.pw_name, drops=uid == 0)
