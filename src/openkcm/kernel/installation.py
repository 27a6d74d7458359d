"""Which installation this is: one row in control's database, and its id in every state directory that belongs to it."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

from openkcm.kernel.db import Role, transaction
from openkcm.kernel.log import get_logger
from openkcm.sdk.refusals import Permanent, Refusal, Remedy

log = get_logger(__name__)

_ROW = """select id, epoch, timeline, (select timeline_id from pg_control_checkpoint())::bigint as timeline_now
from installation"""
_FILE = "installation"


@dataclass(frozen=True, slots=True)
class Installation:
    """``id`` is made once with the schema. ``epoch`` counts restores; ``timeline`` is PostgreSQL's at that epoch."""

    id: str
    epoch: int
    timeline: int


async def open_installation(role: Role, state_directory: Path | None = None) -> Installation:
    """The installation that the open database belongs to, which is the one the state directory belongs to.

    An empty state directory (it must exist) becomes this installation's.

    Raises:
        Permanent: DATABASE_FOREIGN; the directory has another installation's id in it. DISK_FULL.
        Temporary: DATABASE_UNAVAILABLE.
    """
    async with transaction(role) as tx:
        row = await tx.fetchrow(_ROW)
    if row is None:
        raise RuntimeError("the schema was made without its installation")
    found = Installation(row["id"], row["epoch"], row["timeline"])
    if row["timeline_now"] != found.timeline:
        log.warning("installation.timeline_changed", before=found.timeline, now=row["timeline_now"])
    if state_directory is not None:
        _compare(state_directory / _FILE, found)
    return found


def _compare(path: Path, found: Installation) -> None:
    try:
        kept = path.read_text(encoding="utf-8", errors="replace").strip()
    except FileNotFoundError:
        _write(path, found.id)
        return
    if kept != found.id:
        raise Permanent(
            Refusal.DATABASE_FOREIGN,
            f"The database belongs to installation {found.id}, but {path.parent} belongs to installation "
            f"{ascii(kept)[1:41]}. Nothing was changed in either.",
            remedy=Remedy(
                f"Point OpenKCM at the database that {path.parent} was made with, or give this database "
                "a state directory of its own.",
                "operator",
                "operate/database#foreign",
            ),
        )


def _write(path: Path, text: str) -> None:
    """Whole or not at all, and still there after a power cut."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with part.open("w", encoding="utf-8") as file:
            file.write(f"{text}\n")
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as failed:
        part.unlink(missing_ok=True)
        if failed.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise Permanent(
            Refusal.DISK_FULL,
            f"There is no room left in {path.parent}.",
            remedy=Remedy("Make room there, then start again.", "operator", "operate/database"),
        ) from failed
