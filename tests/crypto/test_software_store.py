"""The platform's root keeps the contract of key stores, and its bytes are what they always were."""

from __future__ import annotations

import os
from typing import ClassVar

import pytest

from openkcm.crypto import hierarchy
from openkcm.crypto.software_store import DECLARATION
from openkcm.sdk.conformance.key_store import KeyStoreContract
from openkcm.sdk.key_store import Answered, Declaration, Wrapped, Wrapping
from tests.crypto.software_place import SoftwarePlace

TENANT = "acme"
KEY_ID = bytes(range(16))
L2 = bytes(range(32))


@pytest.fixture
def place() -> SoftwarePlace:
    return SoftwarePlace()


class TestSoftwareStore(KeyStoreContract):
    declaration: ClassVar[Declaration] = DECLARATION


async def test_what_the_store_wraps_is_what_the_hierarchy_unwraps(place: SoftwarePlace) -> None:
    connection = await place.connect(TENANT)
    store = await place.plugin.open(connection)
    wrapped = await store.wrap(L2, place.context(connection))
    [(_, key_id)] = place.secrets.held
    assert len(wrapped.blob) == hierarchy.WRAP_BYTES
    given = {"tenant": TENANT, "key_id": key_id, "erase_secret": place.secrets.held[TENANT, key_id]}
    assert hierarchy.unwrap_l2(wrapped.blob, place.root.current, **given) == L2  # type: ignore[arg-type]  # as named


async def test_what_the_hierarchy_wrapped_the_store_unwraps(place: SoftwarePlace) -> None:
    secret = os.urandom(32)
    blob = hierarchy.wrap_l2(L2, place.root.current, tenant=TENANT, key_id=KEY_ID, erase_secret=secret)
    place.secrets.held[TENANT, KEY_ID] = secret
    connection = await place.connect(TENANT)
    context = place.context(connection)
    wrapped = Wrapped(blob=blob, wrapping=Wrapping.AEAD, reference=hierarchy.ROOT_PARENT, version="1")
    store = await place.plugin.open(connection)
    named = type(context)(tenant=TENANT, key_id=KEY_ID.hex(), region=context.region)
    assert await store.unwrap(wrapped, named) == L2


async def test_an_erased_key_is_never_wrapped_again(place: SoftwarePlace) -> None:
    connection = await place.connect(TENANT)
    store, context = await place.plugin.open(connection), place.context(connection)
    await store.wrap(L2, context)
    await place.cause("key-erased", connection)
    with pytest.raises(Answered) as refused:
        await store.wrap(L2, context)
    assert refused.value.code == "key-erased"
