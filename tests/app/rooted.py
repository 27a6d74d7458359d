"""A tenant with a connection to a root key of its own, as regions and worker tell of it: rows of a database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

import httpx2

from openkcm.crypto.contract import DesiredConnection, Found, LinksTold, LinkTold, SealedSecret
from openkcm.kernel.clock import SetClock
from openkcm.kernel.db import Role, transaction
from openkcm.keystores import store
from openkcm.keystores.links import note_links
from openkcm.keystores.model import RegionCheck
from tests.app.browser import Browser
from tests.app.conftest import TENANT
from tests.app.keyed import L2, Person, give_keys

OURS = "c-" + "1" * 32
OTHER_STORE = "c-" + "2" * 32
SEALED = b"sealed-canary"
MEMORY = {"choice": "memory-only", "outage": "900", "doubtful": "300", "governance": "3600"}
LEASE = {"choice": "lease", "outage": "", "doubtful": "3600", "governance": "86400"}
Said = tuple[Literal["serve", "suspended", "window-over", "cut-off"], tuple[str, ...], str]
CONDITIONS: dict[str, Said] = {
    "fine": ("serve", (), ""),
    "no-answer": ("serve", ("no-answer",), "timeout"),
    "doubtful": ("serve", ("doubtful",), "credential-expired"),
    "suspended": ("suspended", ("refused",), "key-disabled"),
    "over": ("window-over", ("no-answer",), "unreachable"),
}


async def connect(
    connection: str, clock: SetClock, *, title: str = "Our <KMS>", kind: str = "byok", version: int = 1
) -> None:
    """The tenant has this connection, or this version of it; the operator made it."""
    async with transaction(Role.SYSTEM) as tx:
        if version == 1:
            at, by = clock.now(), "operator:kim"
            await store.add(tx, TENANT, connection, plugin="memory", kind=kind, title=title, at=at, by=by)
        made = DesiredConnection(
            id=connection,
            version=version,
            plugin="memory",
            answers={"address": "https://kms.example", "key": "payments"},
            subject="",
            secrets=tuple(
                SealedSecret(region=region, field="password", sealed=SEALED) for region in ("north", "south")
            ),
        )
        await store.add_version(
            tx, TENANT, made, request=f"{connection}-{version}", at=clock.now(), by="operator:kim"
        )


async def found(
    connection: str, clock: SetClock, *, bad: str = "", number: int = 1, version: int = 1
) -> None:
    """Both regions have looked at it; the one named ``bad`` found it so."""
    async with transaction(Role.SYSTEM) as tx:
        await tx.execute("update connections set checks_asked = $2 where id = $1", connection, number)
        for region in ("north", "south"):
            finding = Found(level="ok", code="wraps", said="It wraps.")
            if region == bad:
                finding = Found(
                    level="bad",
                    code="not-permitted",
                    said="The key may not be used.",
                    permission="memory:Unwrap",
                    action="Grant the declared permissions.",
                    who="the key's owner",
                )
            check = RegionCheck(
                region=region,
                version=version,
                number=number,
                findings=(finding,),
                reference="payments",
                root_version="3",
                protection="hardware",
                checked_at=clock.now(),
            )
            await store.put_check(tx, TENANT, connection, check)


async def in_force(connection: str) -> None:
    """Its root key wraps the tenant key that is in use."""
    async with transaction(Role.SYSTEM) as tx:
        await tx.execute("update keys set connection = $2 where key_id = $1", L2, connection)


async def tell(region: str, condition: str, clock: SetClock, *, left_s: float = 3600.0) -> None:
    """The region tells how the root key in force answers it."""
    verdict, seen, code = CONDITIONS[condition]
    link = LinkTold(
        tenant=TENANT,
        key_id=L2,
        connection=OURS,
        verdict=verdict,
        seen=seen,
        code=code,
        proved_at=clock.now() - timedelta(minutes=3),
        ends_at=clock.now() + timedelta(seconds=left_s) if condition in ("no-answer", "doubtful") else None,
    )
    told = LinksTold(run="r", number=1, whole=False, links=(link,))
    async with transaction(Role.SYSTEM) as tx:
        await note_links(tx, region, told, now=clock.now())


async def give_own_root(clock: SetClock, **conditions: str) -> None:
    """A tenant with keys under a root key of its own, which answers each region so."""
    await give_keys()
    await connect(OURS, clock)
    await found(OURS, clock)
    await in_force(OURS)
    for region, condition in (conditions or {"north": "fine", "south": "fine"}).items():
        await tell(region, condition, clock)


@dataclass
class Holder:
    """Somebody at the page of the tenant's root key."""

    browser: Browser

    async def look(self, path: str = "", **headers: str) -> httpx2.Response:
        return await self.browser.get(f"/t/{TENANT}/root-key{path}", **headers)

    async def ask(self, path: str, **form: str) -> httpx2.Response:
        """The question is opened, and its form sent."""
        return await self.send(path, Person.request_in(await self.look(path)), **form)

    async def send(self, path: str, request: str, **form: str) -> httpx2.Response:
        return await self.browser.send(f"/t/{TENANT}/root-key{path}", {"request": request, **form})
