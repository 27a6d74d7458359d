"""REQ-025: what a region asks of customers' root keys, and takes from leases, is told one by one."""

from __future__ import annotations

import asyncio

import pytest

from tests.crypto.ledgers import Book
from tests.crypto.own_root import OwnRoot

pytestmark = pytest.mark.integration


async def test_a_customers_root_key_that_is_asked_and_a_lease_that_is_read_are_told_one_by_one(
    own: OwnRoot,
) -> None:
    await own.own("acme")
    book = await Book(own.plane.local).begin()
    l2 = own.l2()
    message = await own.plane.local.encrypt("acme", b"secret")
    roots = own.plane.local.here.roots
    roots.memory.drop(l2)
    assert await own.plane.local.decrypt("acme", message) == b"secret"
    assert await book.write()
    rows = [row for row in await book.rows() if row["actor"] == "region:p1"]
    assert [(row["verb"], row["object"], row["outcome"], row["count"]) for row in rows] == [
        ("unwrap", f"/{l2.hex()}", "done", 1)
    ]


async def test_what_a_silent_key_store_and_a_lease_came_to_is_told(own: OwnRoot) -> None:
    await own.own("acme")
    local = own.plane.local
    await own.asks(local)
    await own.place.cause("unreachable", own.connections["acme"])
    await own.open(local)  # a restart meanwhile: the lease serves, and the root key is asked besides
    book = await Book(local).begin()
    assert await local.decrypt("acme", await local.encrypt("acme", b"x")) == b"x"
    async with asyncio.timeout(10):
        while len(book.ledger._alone) < 2:
            await asyncio.sleep(0.02)
    assert await book.write()
    rows = [row for row in await book.rows() if row["actor"] == "region:p1"]
    assert [(row["verb"], row["object"], row["outcome"]) for row in rows] == [
        ("load-lease", f"/{own.l2().hex()}", "done"),
        ("unwrap", f"/{own.l2().hex()}", "key-store-no-answer"),
    ]
