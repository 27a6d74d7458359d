"""Control's whole database as it was, as a backup brings it back."""

from __future__ import annotations

import asyncpg

_TABLES = """select format('%I', tablename) from pg_tables
where schemaname = 'public' and tablename <> 'alembic_version' order by 1"""


class Backup:
    """One backup of the database that a superuser's address names."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    async def make(self) -> None:
        """The backup has what the database has now."""
        await self._each(
            "drop schema if exists kept cascade; create schema kept",
            "create table kept.{0} as table public.{0}",
        )

    async def put_back(self) -> None:
        """The database has what the backup has."""
        await self._each(
            "set session_replication_role = replica",
            "delete from public.{0}",
            "insert into public.{0} overriding system value select * from kept.{0}",
        )

    async def _each(self, first: str, *statements: str) -> None:
        connection = await asyncpg.connect(self._dsn)
        try:
            async with connection.transaction():
                await connection.execute(first)
                tables = [row[0] for row in await connection.fetch(_TABLES)]
                for statement in statements:
                    for table in tables:
                        await connection.execute(statement.format(table))
        finally:
            await connection.close()
