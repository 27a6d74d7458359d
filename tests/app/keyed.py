"""A tenant with keys, as the doors of its keys find it: rows of a database, no region."""

from __future__ import annotations

import re
from dataclasses import dataclass

import httpx2

from openkcm.kernel.db import Role, transaction
from openkcm.keychain.store import activate, add_records
from tests.app.browser import Browser
from tests.app.conftest import TENANT
from tests.control import key_record

L2, L3, OLD = "a" * 32, "b" * 32, "c" * 32
_REQUEST = re.compile(r'name="request" value="([^"]+)"')


async def give_keys() -> None:
    """The tenant key, and two versions of the key of ``default``: the second encrypts."""
    async with transaction(Role.SYSTEM) as tx:
        first = key_record(TENANT, OLD, "L3", service="default", parent=L2)
        await add_records(tx, TENANT, [key_record(TENANT, L2, "L2", holder="north"), first])
        await activate(tx, TENANT)
        await tx.execute("update keys set state = 'decrypt-only' where key_id = $1", OLD)
        await add_records(tx, TENANT, [key_record(TENANT, L3, "L3", service="default", parent=L2)])
        await activate(tx, TENANT)


async def seen(query: str, *values: object) -> list[dict[str, object]]:
    """What stands there, with the tenant's own rights."""
    async with transaction(Role.APP, TENANT) as tx:
        return [dict(row) for row in await tx.fetch(query, *values)]


async def told(statement: str, *values: object) -> None:
    """Something has become so, with the tenant's own rights."""
    async with transaction(Role.APP, TENANT) as tx:
        await tx.execute(statement, *values)


@dataclass
class Person:
    """Somebody at the pages of the tenant's keys."""

    browser: Browser

    async def look(self, path: str = "", **headers: str) -> httpx2.Response:
        return await self.browser.get(f"/t/{TENANT}/keys{path}", **headers)

    async def ask(self, path: str, **form: str) -> httpx2.Response:
        """The question is opened, and its form sent."""
        return await self.send(path, self.request_in(await self.look(path)), **form)

    async def send(self, path: str, request: str, **form: str) -> httpx2.Response:
        return await self.browser.send(f"/t/{TENANT}/keys{path}", {"request": request, **form})

    @staticmethod
    def request_in(page: httpx2.Response) -> str:
        found = _REQUEST.search(page.text)
        assert found, page.text
        return found[1]
