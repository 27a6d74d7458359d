"""The installed product under measurement: ``openkcm up`` in a folder of its own, with a mail server beside it."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
import tomllib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from tests.demo.account import Account, new_account
from tests.demo.failed import DemoFailed
from tests.demo.place import Place
from tests.demo.post import Post
from tests.demo.product import Product

_CHANNEL = "tenant_progress"


@dataclass(slots=True)
class Installed:
    """A running product. ``up_s`` is from the command to pages that answer."""

    product: Product
    post: Post
    place: Place
    up_s: float

    def operator(self) -> dict[str, str]:
        """Control's settings as the operator's commands read them."""
        content = tomllib.loads(Path(self.product.addresses["settings"]).read_text(encoding="utf-8"))
        found: dict[str, str] = content["control"]
        return found


@asynccontextmanager
async def home() -> AsyncIterator[Place]:
    """An empty state directory; gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="okcm-bench-", dir="/tmp"))
    if os.geteuid() == 0:
        folder.chmod(0o711)  # PostgreSQL runs as `nobody` then
    place = Place(folder / "state")
    place.manifests.mkdir(parents=True)
    place.state.chmod(0o711 if os.geteuid() == 0 else 0o700)
    try:
        yield place
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


@asynccontextmanager
async def installed(place: Place, settings: Mapping[str, str] | None = None) -> AsyncIterator[Installed]:
    """Up, until the block is left; ``settings`` are more of its environment.

    Raises:
        DemoFailed: it did not come up, or left something behind.
    """
    post = Post(place.authority)
    await post.open()
    product = Product(place, {**post.settings(), **(settings or {})}, hear=lambda _words: None)
    starting, ended = asyncio.ensure_future(product.start()), asyncio.ensure_future(product.ended())
    try:
        await asyncio.wait((starting, ended), return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            ended.result()
        yield Installed(product, post, place, starting.result())
    finally:
        starting.cancel()
        ended.cancel()
        await asyncio.gather(starting, ended, return_exceptions=True)
        left = await product.stop()
        await post.close()
    if left:
        raise DemoFailed("Left behind: " + "; ".join(left))


class Watch:
    """Sees when accounts become ready, by the product's own notifications."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._heard: asyncio.Queue[str] = asyncio.Queue()

    async def ready_s(self, account: Account, began: float, *, within_s: float = 60.0) -> float:
        """Seconds from ``began`` (monotonic) until the account is ready."""
        async with asyncio.timeout(within_s):
            while await self._heard.get() != account.uid or not await self._ready(account):
                pass
        return time.monotonic() - began

    async def all_ready_s(
        self, accounts: Sequence[Account], began: float, *, within_s: float = 300.0
    ) -> float:
        """Seconds until the last of them is ready."""
        waiting = "select count(*) from tenants where stage <> 'ready'"
        return await self._none(waiting, accounts, began, within_s)

    async def all_told_s(
        self, accounts: Sequence[Account], began: float, *, within_s: float = 300.0
    ) -> float:
        """Seconds until every saga is done: each mail was accepted, each status was reported."""
        waiting = "select count(*) from sagas where state <> 'done'"
        return await self._none(waiting, accounts, began, within_s)

    async def _none(self, waiting: str, accounts: Sequence[Account], began: float, within_s: float) -> float:
        # Looking must cost next to nothing, or it is what is measured: two small counts, four times a second.
        there = "select count(*) from sagas where tenant = $1"
        last = accounts[-1].uid
        async with asyncio.timeout(within_s):
            while await self._connection.fetchval(waiting) or not all(
                [await self._connection.fetchval(there, each) for each in (accounts[0].uid, last)]
            ):
                await asyncio.sleep(0.25 if len(accounts) > 1 else 0.02)
            seconds = time.monotonic() - began
        ids = [account.uid for account in accounts]
        found = await self._connection.fetchval("select count(*) from sagas where tenant = any($1)", ids)
        if found != len(ids):
            raise DemoFailed(f"{found} of {len(ids)} accounts were seen when all were said to be done.")
        return seconds

    async def _ready(self, account: Account) -> bool:
        asked = "select stage = 'ready' from tenants where id = $1"
        return bool(await self._connection.fetchval(asked, account.uid))

    def heard(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        """Called for every notification."""
        self._heard.put_nowait(str(payload))


@asynccontextmanager
async def watching(product: Installed) -> AsyncIterator[Watch]:
    """A connection to control's database, beside the product's own."""
    connection = await asyncpg.connect(product.operator()["worker_database"])
    try:
        await connection.execute("set role system")
        watch = Watch(connection)
        await connection.add_listener(_CHANNEL, watch.heard)
        yield watch
    finally:
        await connection.close()


def drop_one(place: Place) -> tuple[Account, float]:
    """A new account, and when its manifest was on disk."""
    account = new_account(place.accounts())
    account.drop(place.manifests)
    return account, time.monotonic()


def drop_many(place: Place, count: int) -> tuple[list[Account], float]:
    """So many new accounts, each in a file of its own, and when the first of them was on disk."""
    taken = set(place.accounts())
    accounts: list[Account] = []
    waiting = place.state / "waiting"
    waiting.mkdir(exist_ok=True)
    for _ in range(count):
        account = new_account(taken)
        taken.add(account.name)
        accounts.append(account)
        (waiting / f"{account.name}.yaml").write_text(account.manifest(), encoding="utf-8")
    began = time.monotonic()
    for account in accounts:
        (waiting / f"{account.name}.yaml").replace(place.manifests / f"{account.name}.yaml")
    return accounts, began
