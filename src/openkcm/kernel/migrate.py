"""Bringing a database to this version's schema, and refusing to work with another.

Revisions are SQL written by hand; Alembic turns them into one script, which asyncpg runs in one transaction under a
lock. So no second driver is needed, and a revision may hold many statements.
"""

from __future__ import annotations

import asyncio
import importlib
import io
import re
from pathlib import Path
from types import ModuleType
from typing import Final

import asyncpg

from openkcm.kernel.db import LOST, Transaction, unavailable
from openkcm.sdk.refusals import Permanent, Refusal, Remedy

_LOCK: Final = 0x6F6B636D  # "okcm": one migration at a time in a database
_REVISION = re.compile(r"(\d{4})_[a-z0-9_]+\.py")
_HERE = Path(__file__).resolve()


def tree(name: str) -> Path:
    """The folder of a database's revisions: ``control`` or ``crypto``; the repository's first, the wheel's second."""
    for root in (_HERE.parents[3] / "alembic", _HERE.parents[1] / "_data" / "alembic"):
        if (root / name / "versions").is_dir():
            return root / name
    raise Permanent(
        Refusal.START_FAILED,
        f"The migrations of the {name} database are not installed with OpenKCM.",
        remedy=Remedy("Install openkcm again from its wheel.", "operator", "operate/migrate"),
    )


def head(name: str) -> str:
    """The newest revision that this version knows: revisions are numbered without gaps."""
    return max(
        found[1] for path in (tree(name) / "versions").iterdir() if (found := _REVISION.fullmatch(path.name))
    )


async def migrate(dsn: str, *, name: str, login: str = "") -> bool:
    """The database of tree ``name`` has this version's schema; whether anything had to be done.

    ``dsn`` is the owner's; ``login`` is the role that a tree may name in its grants. Safe to call from several
    processes at once.

    Raises:
        Permanent: SCHEMA_NEW, a newer OpenKCM has been here.
        Temporary: DATABASE_UNAVAILABLE.
    """
    try:
        connection = await asyncpg.connect(dsn, timeout=10)
        try:
            async with connection.transaction():
                await connection.execute("select pg_advisory_xact_lock($1)", _LOCK)
                found = await _revision(connection)
                if found == head(name):
                    return False
                if found > head(name):
                    raise _newer(found, name)
                await connection.execute(await asyncio.to_thread(_script, name, found, login))
                return True
        finally:
            await connection.close(timeout=5)
    except asyncpg.DiskFullError as full:
        raise Permanent(
            Refusal.DISK_FULL,
            f"The disk of the {name} database is full; nothing of the new schema was kept.",
            remedy=Remedy(
                "Make room on the database's disk, then start again.", "operator", "operate/migrate"
            ),
        ) from full
    except LOST as lost:
        raise unavailable() from lost


async def check_schema(tx: Transaction, *, name: str) -> None:
    """The schema is this version's.

    Raises:
        Permanent: SCHEMA_OLD (``openkcm migrate`` is due) or SCHEMA_NEW (this version is too old).
    """
    found = await _revision(tx)
    if found > head(name):
        raise _newer(found, name)
    if found < head(name):
        raise Permanent(
            Refusal.SCHEMA_OLD,
            f"The {name} database has schema {found or 'none'}; this version needs {head(name)}.",
            remedy=Remedy(
                "Run openkcm migrate with this version, then start again.", "operator", "operate/migrate"
            ),
        )


async def _revision(database: Transaction | asyncpg.Connection[asyncpg.Record]) -> str:
    if not await database.fetchval("select to_regclass('public.alembic_version') is not null"):
        return ""
    return str(await database.fetchval("select version_num from alembic_version") or "")


def _script(name: str, found: str, login: str) -> str:
    # Alembic takes over a second to import: only where there is something to do.
    command, config = _alembic("command"), _alembic("config")
    written = io.StringIO()
    settings = config.Config(output_buffer=written)
    settings.set_main_option("script_location", str(tree(name)).replace("%", "%%"))
    settings.attributes["login"] = login
    command.upgrade(settings, f"{found}:head" if found else "head", sql=True)
    return written.getvalue()


def _alembic(module: str) -> ModuleType:
    return importlib.import_module(f"alembic.{module}")


def _newer(found: str, name: str) -> Permanent:
    return Permanent(
        Refusal.SCHEMA_NEW,
        f"The {name} database has schema {found}, which is newer than this version's {head(name)}.",
        remedy=Remedy("Start the version of OpenKCM that migrated it.", "operator", "operate/migrate"),
    )
