"""A host serves; whatever a plugin does to it, the next call works."""

from __future__ import annotations

import asyncio

import pytest

from openkcm.crypto.hosts.failed import StoreFailed
from openkcm.sdk.key_store import Outage
from tests.crypto.hosts.conftest import L2, Make, connection, context


async def test_what_was_wrapped_is_unwrapped_and_the_host_is_kept(make: Make) -> None:
    house = make()
    store = house.stores.at("planted", connection())
    wrapped = await store.wrap(L2, context())
    pids = house.pids
    assert await store.unwrap(wrapped, context()) == L2
    assert (await store.describe()).origin == str(*pids)
    assert house.pids == pids


ENDINGS = {
    "hang": "deadline",
    "stubborn": "deadline",
    "busy": "deadline",
    "thread": "deadline",
    "drip": "deadline",
    "leave": "host-died",
    "garbage": "malformed",
    "garbage-frame": "malformed",
    "unknown-field": "malformed",
    "huge-frame": "malformed",
    "wrong-id": "malformed",
    "another-hello": "malformed",
    "flood": "malformed",
    "hog": "undocumented",
    "shout": "undocumented",
    "huge-blob": "malformed",
    "megabytes": "malformed",
    "empty-blob": "malformed",
    "key-itself": "malformed",
    "key-within": "malformed",
    "undeclared-wrapping": "malformed",
    "control-character": "malformed",
    "long-reference": "malformed",
    "none": "malformed",
    "text": "malformed",
    "another-key": "malformed",
    "short-key": "malformed",
    "says-gone": "gone",
    "says-busy": "busy",
    "says-expired": "expired",
    "says-made-up": "undocumented",
    "says-host-died": "undocumented",
    "says-" + "x" * 99: "undocumented",
}
CLASSES = {
    "deadline": Outage.NO_ANSWER,
    "host-died": Outage.NO_ANSWER,
    "busy": Outage.NO_ANSWER,
    "gone": Outage.REFUSED,
}


@pytest.mark.parametrize(("evil", "code"), ENDINGS.items())
async def test_evil_has_a_closed_code_and_the_next_call_works(evil: str, code: str, make: Make) -> None:
    store = make().stores.at("planted", connection())
    await store.probe()  # the session is open: from here on a call has the declared second, no more
    with pytest.raises(StoreFailed) as failed:
        await store.wrap(L2, context(evil))
    assert failed.value.code == code
    assert failed.value.outage is CLASSES.get(code, Outage.DOUBTFUL)
    assert failed.value.remedy is not None
    wrapped = await store.wrap(L2, context())
    assert await store.unwrap(wrapped, context()) == L2


async def test_a_call_that_is_answered_twice_ends_the_host_and_a_later_one_works(make: Make) -> None:
    house = make()
    store = house.stores.at("planted", connection())
    await store.probe()
    before = house.pids
    with pytest.raises(StoreFailed, match="cannot be believed"):
        await store.wrap(L2, context("twice"))
    async with asyncio.timeout(20):
        while house.pids == before:  # the second answer may come a little later
            await asyncio.sleep(0.01)
    await store.wrap(L2, context())
    assert house.pids
    assert house.pids.isdisjoint(before)
