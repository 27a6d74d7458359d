"""Whatever happened before: a key in memory is never used by a document that another one has followed."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from openkcm.crypto.cache import KEY_LIFE_S, KeyCache, ServiceKey
from openkcm.crypto.contract import FORMAT, Desired, DesiredKey, SignedDesired
from openkcm.crypto.view import View, read
from openkcm.kernel.clock import SetClock
from openkcm.parties.signed import Signature
from openkcm_client.xaes import XAES256GCM
from tests.crypto.world import AT

KEY = bytes(range(16))
Step = tuple[Literal["load", "bump", "sweep", "wait", "revoke"], int]


def view(generation: int) -> View:
    document = msgspec.json.encode(
        Desired(
            format=FORMAT,
            tenant="acme",
            epoch=1,
            generation=generation,
            replaces="",
            regions=("local",),
            access="active",
            keys=(DesiredKey(key_id=KEY.hex(), level="L3", service="default", version=1, state="active"),),
            callers=(),
            decided_at=AT,
        )
    )
    signature = Signature(signer_kind="control", signer="control", serial=1, sig=b"s" * 64)
    return read(SignedDesired(document=document, signature=signature))


@given(st.lists(st.tuples(st.sampled_from(["load", "bump", "sweep", "wait", "revoke"]), st.integers(1, 400))))
def test_no_key_outlives_its_document_its_life_or_a_revoke(steps: list[Step]) -> None:
    clock = SetClock(AT)
    cache = KeyCache(None, clock)  # type: ignore[arg-type]  # nothing is loaded by it here
    now, loaded_at = view(1), float("-inf")
    for step, amount in steps:
        if step == "load":
            loaded_at = clock.monotonic()
            aead = XAES256GCM(bytes(32))
            cache._put(now, ServiceKey(KEY, "acme", "default", aead, loaded_at + KEY_LIFE_S))
        elif step == "bump":
            now, loaded_at = view(now.mark.generation + 1), float("-inf")
        elif step == "wait":
            clock.advance(amount)
        elif step == "revoke":  # by a tightening: the document stays the same
            now = replace(now, access="revoked")
            cache.sweep({"acme": now})
            now, loaded_at = replace(now, access="active"), float("-inf")
        else:
            cache.sweep({"acme": now})
            assert {stamp for _, stamp in cache._keys} <= {now.stamp}, "another document's key is in memory"
        there = cache.known(now, KEY) is not None
        assert there is (clock.monotonic() < loaded_at + KEY_LIFE_S)
    cache.sweep({})
    assert cache.known(now, KEY) is None
