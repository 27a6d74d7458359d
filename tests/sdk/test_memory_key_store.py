from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from openkcm.sdk.conformance.key_store import KeyStoreContract
from openkcm.sdk.key_store import Declaration
from openkcm.sdk.testing.memory_declaration import memory_declaration
from openkcm.sdk.testing.memory_key_place import MemoryPlace
from openkcm.sdk.testing.memory_kms import MemoryKms


@pytest.fixture(params=["memory", "directory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> MemoryPlace:
    return MemoryPlace(MemoryKms(tmp_path) if request.param == "directory" else None)


class TestMemoryKeyStore(KeyStoreContract):
    declaration: ClassVar[Declaration] = memory_declaration()
