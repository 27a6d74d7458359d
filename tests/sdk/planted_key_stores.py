"""The kit against every planted store: run by ``test_key_store_kit`` in a process of its own, where it has to fail."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import ClassVar

import pytest

from openkcm.sdk.conformance.key_store import KeyStoreContract
from openkcm.sdk.key_store import Connection, Declaration, KeyStore
from openkcm.sdk.testing.memory_declaration import memory_declaration
from openkcm.sdk.testing.memory_key_place import MemoryPlace
from openkcm.sdk.testing.memory_kms import MemoryKms
from tests.sdk import planted_answers, planted_calls, planted_leaks, planted_wrapping
from tests.sdk.planted_wrapping import Honest

PLANTED = sorted(
    {
        store
        for module in (planted_answers, planted_calls, planted_leaks, planted_wrapping)
        for _, store in inspect.getmembers(module, inspect.isclass)
        if issubclass(store, Honest)
    },
    key=lambda store: store.__name__,
)
_LATE = {planted_calls.AnswersLate, planted_calls.WaitsForEver}


def declared(store: type[Honest]) -> Declaration:
    """What this store says of itself."""
    whole = memory_declaration(call_s=0.1 if store in _LATE else 2.0)
    return replace(whole, abilities=whole.abilities - store.lacks)


class Planted:
    """Opens stores of the planted class."""

    def __init__(self, kms: MemoryKms, store: type[Honest]) -> None:
        self._kms = kms
        self._store = store
        self.declaration = declared(store)

    async def open(self, connection: Connection) -> KeyStore:
        return self._store(connection, self._kms, self.declaration, deadline_s=0.05)


class Kit(KeyStoreContract):
    declaration: ClassVar[Declaration] = memory_declaration()
    store: ClassVar[type[Honest]]


@pytest.fixture
def place(request: pytest.FixtureRequest) -> MemoryPlace:
    kms = MemoryKms()
    return MemoryPlace(kms, through=Planted(kms, request.cls.store))


for each in PLANTED:
    name = f"Test{each.__name__}"
    globals()[name] = type(name, (Kit,), {"store": each, "declaration": declared(each)})
