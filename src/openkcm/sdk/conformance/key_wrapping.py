"""The kit for key stores, first part: a key comes back as it was, to whom it belongs, and to nobody else."""

from __future__ import annotations

import asyncio
import base64
import os
from dataclasses import replace

import pytest

from openkcm.sdk.conformance.asking import Asked
from openkcm.sdk.conformance.key_contract import ANOTHER, KEY, OTHER_KEY, KeyContract
from openkcm.sdk.conformance.key_place import OTHER_TENANT, TENANT, KeyPlace
from openkcm.sdk.key_store import MAX_BLOB_BYTES, Ability, Outage, Wrapped, Wrapping

_SHAPES = (KEY, bytes(32), b"\xff" * 32, b"\x00" + KEY[1:], KEY[:-1] + b"\x00", KEY[:-1] + b"\x01")
_AT_ONCE = 50
_LIVE_SAMPLES = 16


class KeyWrapping(KeyContract):
    @pytest.mark.asyncio
    async def test_a_key_comes_back_as_it_was(self, place: KeyPlace) -> None:
        async with Asked(place, await place.connect(TENANT)) as store:
            for key in (*_SHAPES, os.urandom(32)):
                assert await store.unwrap(await store.wrap(key)) == key, ANOTHER

    @pytest.mark.asyncio
    async def test_a_wrap_says_how_and_under_which_key_it_was_made(self, place: KeyPlace) -> None:
        async with Asked(place, await place.connect(TENANT)) as store:
            wrapped, described = await store.wrap(KEY), await store.describe()
        assert wrapped.wrapping in self.declaration.wrappings, f"{wrapped.wrapping} is not declared"
        assert 0 < len(wrapped.blob) <= MAX_BLOB_BYTES, f"a blob of {len(wrapped.blob)} bytes"
        assert wrapped.reference == described.reference != "", (
            "wrap and describe name different keys, or none"
        )
        assert wrapped.version == described.version, "wrap and describe name different versions"
        assert described.enabled, "a key that works is described as disabled"

    @pytest.mark.asyncio
    async def test_two_keys_have_two_blobs_and_neither_shows_its_key(self, place: KeyPlace) -> None:
        async with Asked(place, await place.connect(TENANT)) as store:
            one, other, again = [await store.wrap(each) for each in (KEY, OTHER_KEY, KEY)]
        assert one.blob != other.blob, "two keys have one blob"
        assert again.blob != one.blob or one.wrapping is Wrapping.AES_KWP, (
            "a wrap that is made twice shows that"
        )
        for shown in (KEY, KEY.hex().encode(), base64.b64encode(KEY)):
            assert shown not in one.blob, "the blob holds the key as it is"

    @pytest.mark.asyncio
    async def test_every_answer_belongs_to_its_own_call(self, place: KeyPlace) -> None:
        async with Asked(place, await place.connect(TENANT)) as store:
            one, other = await store.wrap(KEY), await store.wrap(OTHER_KEY)
            for wrapped, key in ((one, KEY), (other, OTHER_KEY), (other, OTHER_KEY), (one, KEY), (one, KEY)):
                assert await store.unwrap(wrapped) == key, ANOTHER

    @pytest.mark.asyncio
    async def test_a_blob_that_was_changed_is_refused_and_proves_nothing(self, place: KeyPlace) -> None:
        async with Asked(place, await place.connect(TENANT)) as store:
            wrapped = await store.wrap(KEY)
            for changed in _changed(wrapped, place):
                answer = await store.refused(
                    store.unwrap(changed), says=f"a blob of {len(changed.blob)} bytes"
                )
                assert answer.outage is Outage.DOUBTFUL, (
                    f"{answer.code} takes a changed blob for {answer.outage}"
                )
            assert await store.unwrap(wrapped) == KEY, ANOTHER

    @pytest.mark.asyncio
    async def test_another_context_is_refused(self, place: KeyPlace) -> None:
        self.able(Ability.CONTEXT)
        connection = await place.connect(TENANT)
        context = place.context(connection)
        async with Asked(place, connection) as store:
            wrapped = await store.wrap(KEY)
            for other in (
                replace(context, tenant=OTHER_TENANT),
                replace(context, key_id=f"{2:032x}"),
                replace(context, region="elsewhere"),
                replace(context, tenant=context.key_id, key_id=context.tenant),
            ):
                await store.refused(
                    store.unwrap(wrapped, other), says=f"a wrap of {context} opened as {other}"
                )
            assert await store.unwrap(wrapped) == KEY, ANOTHER

    @pytest.mark.asyncio
    async def test_another_tenants_wrap_is_refused(self, place: KeyPlace) -> None:
        mine, theirs = await place.connect(TENANT), await place.connect(OTHER_TENANT)
        async with Asked(place, mine) as store, Asked(place, theirs) as other:
            wrapped, own = await other.wrap(KEY), await store.wrap(OTHER_KEY)
            for disguised in (wrapped, replace(wrapped, reference=own.reference, version=own.version)):
                for context in (place.context(mine), place.context(theirs)):
                    await store.refused(store.unwrap(disguised, context), says="another tenant's wrap")
            assert await other.unwrap(wrapped) == KEY, ANOTHER
            assert await store.unwrap(own) == OTHER_KEY, ANOTHER

    @pytest.mark.asyncio
    async def test_two_tenants_are_not_mixed_by_fifty_calls_at_once(self, place: KeyPlace) -> None:
        mine, theirs = await place.connect(TENANT), await place.connect(OTHER_TENANT)

        async def one(store: Asked, number: int) -> Wrapped:
            connection = mine if store is store_of_mine else theirs
            context, key = place.context(connection, number), os.urandom(32)
            wrapped = await store.wrap(key, context)
            assert await store.unwrap(wrapped, context) == key, "the key of another call came back"
            return wrapped

        async with Asked(place, mine) as store_of_mine, Asked(place, theirs) as store_of_theirs:
            made = await asyncio.gather(
                *(one((store_of_mine, store_of_theirs)[number % 2], number) for number in range(_AT_ONCE))
            )
            references = [{each.reference for each in made[first::2]} for first in (0, 1)]
            assert all(len(each) == 1 for each in references), "the wraps of one connection name several keys"
            swapped = store_of_theirs.unwrap(made[0], place.context(mine, 0))
            await store_of_theirs.refused(swapped, says="another tenant's wrap")

    @pytest.mark.asyncio
    async def test_the_same_key_comes_back_after_reopening(self, place: KeyPlace) -> None:
        connection = await place.connect(TENANT)
        async with Asked(place, connection) as store:
            wrapped = await store.wrap(KEY)
        for _ in range(2):
            async with Asked(place, connection) as reopened:
                assert await reopened.unwrap(wrapped) == KEY, ANOTHER

    @pytest.mark.asyncio
    async def test_what_an_older_version_wrapped_opens_after_a_rotation(self, place: KeyPlace) -> None:
        self.able(Ability.ROTATION)
        self.can(place, "rotate")
        connection = await place.connect(TENANT)
        async with Asked(place, connection) as store:
            before = await store.wrap(KEY)
            await place.rotate(connection)
            assert await store.unwrap(before) == KEY, ANOTHER
        async with Asked(place, connection) as store:
            after = await store.wrap(OTHER_KEY)
            assert after.version != before.version, "a rotation that no wrap tells"
            assert (await store.describe()).version == after.version, "describe does not tell the rotation"
            assert after.reference == before.reference, "a rotation is no other key"
            assert await store.unwrap(before) == KEY, ANOTHER
            assert await store.unwrap(after) == OTHER_KEY, ANOTHER

    @pytest.mark.asyncio
    async def test_a_key_that_was_disabled_works_as_before_when_enabled(self, place: KeyPlace) -> None:
        self.able(Ability.HEALING)
        self.can(place, "disable")
        connection = await place.connect(TENANT)
        async with Asked(place, connection) as store:
            wrapped = await store.wrap(KEY)
            await place.disable(connection)
            for call in (store.unwrap(wrapped), store.wrap(KEY), store.probe()):
                answer = await store.refused(call, says="a call under a disabled key")
                assert answer.outage is Outage.REFUSED, f"{answer.code} is no proof that the key is disabled"
            await place.mend(connection)
            assert await store.unwrap(wrapped) == KEY, ANOTHER
            assert await store.unwrap(await store.wrap(OTHER_KEY)) == OTHER_KEY, ANOTHER
            await store.probe()


def _changed(wrapped: Wrapped, place: KeyPlace) -> list[Wrapped]:
    """The wrap with one bit of each byte turned, cut, and made longer at either end."""
    blob = wrapped.blob
    step = max(1, len(blob) // _LIVE_SAMPLES) if place.live else 1
    turned = [
        blob[:at] + bytes([blob[at] ^ (1 << at % 8)]) + blob[at + 1 :] for at in range(0, len(blob), step)
    ]
    cut = [blob[:-1], blob[1:], blob[:1], b"", blob[: len(blob) // 2]]
    longer = [blob + b"\x00", b"\x00" + blob, blob + blob]
    return [replace(wrapped, blob=each) for each in (*turned, *cut, *longer) if len(each) <= MAX_BLOB_BYTES]
