"""The kit against every planted store: run by ``test_key_store_kit`` in a process of its own, where it has to fail."""

from __future__ import annotations

import inspect
from typing import ClassVar

import pytest

from openkcm.sdk.conformance.key_store import KeyStoreContract
from openkcm.sdk.key_store import Connection, Declaration, KeyStore
from openkcm.sdk.testing.memory_declaration import memory_declaration
from openkcm.sdk.testing.memory_key_place import MemoryPlace
from openkcm.sdk.testing.memory_kms import MemoryKms
from tests.sdk import planted_answers, planted_wrapping
from tests.sdk.planted_wrapping import Honest

PLANTED = sorted(
    {
        store
        for module in (planted_answers, planted_wrapping)
        for _, store in inspect.getmembers(module, inspect.isclass)
        if issubclass(store, Honest)
    },
    key=lambda store: store.__name__,
)
_LATE = {planted_wrapping.AnswersLate, planted_wrapping.WaitsForEver}


class Planted:
    """Opens stores of the planted class."""

    def __init__(self, kms: MemoryKms, store: type[Honest]) -> None:
        self._kms = kms
        self._store = store
        self.declaration = memory_declaration(call_s=0.1 if store in _LATE else 2.0)

    async def open(self, connection: Connection) -> KeyStore:
        return self._store(connection, self._kms, self.declaration, deadline_s=0.05)


class Kit(KeyStoreContract):
    declaration: ClassVar[Declaration] = memory_declaration()
    store: ClassVar[type[Honest]]


@pytest.fixture
def place(request: pytest.FixtureRequest) -> MemoryPlace:
    kms = MemoryKms()
    return MemoryPlace(kms, through=Planted(kms, request.cls.store))


globals().update(
    {f"Test{store.__name__}": type(f"Test{store.__name__}", (Kit,), {"store": store}) for store in PLANTED}
)
