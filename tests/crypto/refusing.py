"""``with refused(CODE):`` the block is refused with exactly this code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from openkcm.sdk.refusals import Refusal, Refused


@contextmanager
def refused(code: Refusal, *, naming: str = "") -> Iterator[None]:
    with pytest.raises(Refused) as found:
        yield
    assert found.value.refusal is code, found.value.message
    assert naming in found.value.message
