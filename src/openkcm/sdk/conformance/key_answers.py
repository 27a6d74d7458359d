"""The kit for key stores, third part: what the provider documents is met, told in its class, and heals."""

from __future__ import annotations

import pytest

from openkcm.sdk.conformance.asking import Asked, Met, meet, meet_with
from openkcm.sdk.conformance.key_contract import ANOTHER, KEY, OTHER_KEY, KeyContract
from openkcm.sdk.conformance.key_place import TENANT, KeyPlace
from openkcm.sdk.key_store import Answered, Connection, Finding, Outage, Wrapped


class KeyAnswers(KeyContract):
    @pytest.mark.asyncio
    async def test_a_documented_answer_is_met_under_its_code(self, place: KeyPlace, code: str) -> None:
        self.can(place, code)
        connection, wrapped = await self._wrapped(place)
        async with Asked(place, connection) as store:
            await place.cause(code, connection)
            met = await meet_with(store, place, connection, wrapped)
        assert code in met.codes, f"met instead: {met}"

    @pytest.mark.asyncio
    async def test_a_fresh_session_meets_the_same_answer(self, place: KeyPlace, code: str) -> None:
        """A refusal is proven only when it comes twice, the second time in a session of its own."""
        self.can(place, code)
        connection, wrapped = await self._wrapped(place)
        await place.cause(code, connection)
        for _ in range(2):
            met = await meet(place, connection, wrapped)
            assert code in met.codes, f"met instead: {met}"

    @pytest.mark.asyncio
    async def test_probe_meets_what_wrapping_and_unwrapping_meet(self, place: KeyPlace, code: str) -> None:
        self.can(place, code)
        connection, wrapped = await self._wrapped(place)
        async with Asked(place, connection) as store:
            await place.cause(code, connection)
            met = await meet_with(store, place, connection, wrapped)
        self._probe_tells(met)
        self._probe_tells(await meet(place, connection, wrapped))

    @pytest.mark.asyncio
    async def test_check_tells_of_it_and_never_raises(self, place: KeyPlace, code: str) -> None:
        self.can(place, code)
        connection, wrapped = await self._wrapped(place)
        await place.cause(code, connection)
        met = await meet(place, connection, wrapped)
        if met.open:
            pytest.skip(f"{code} is met when the store is opened, before anything can be checked")
        async with Asked(place, connection) as store:
            bad = {each.code for each in await self._checked(store) if each.level == "bad"}
        assert bad or not met.root, f"check says fine where keys meet {met.root}"

    @pytest.mark.asyncio
    async def test_what_was_mended_works_as_before(self, place: KeyPlace, code: str) -> None:
        self.can(place, code, f"mend:{code}")
        connection, wrapped = await self._wrapped(place)
        async with Asked(place, connection) as store:
            await place.cause(code, connection)
            await meet_with(store, place, connection, wrapped)
            await place.mend(connection)
            assert await store.unwrap(wrapped) == KEY, "an open store does not come back"
            assert await store.unwrap(await store.wrap(OTHER_KEY)) == OTHER_KEY, ANOTHER
            await store.probe()
        async with Asked(place, connection) as reopened:
            assert await reopened.unwrap(wrapped) == KEY, ANOTHER

    @pytest.mark.asyncio
    async def test_an_answer_that_nobody_knows_is_doubtful(self, place: KeyPlace) -> None:
        self.can(place, "unknown_answer")
        connection, wrapped = await self._wrapped(place)
        async with Asked(place, connection) as store:
            await place.unknown_answer(connection)
            for call in (store.unwrap(wrapped), store.wrap(KEY), store.probe()):
                answer = await store.refused(call, says="what the provider answers in an unknown way")
                assert answer.outage is Outage.DOUBTFUL, f"{answer.code} takes it for {answer.outage}"
            await place.mend(connection)
            assert await store.unwrap(wrapped) == KEY, ANOTHER

    @pytest.mark.asyncio
    async def test_garbage_is_no_key_and_no_proof_of_refusal(self, place: KeyPlace) -> None:
        self.can(place, "garbage")
        connection, wrapped = await self._wrapped(place)
        async with Asked(place, connection) as store:
            await place.garbage(connection)
            for call in (store.unwrap(wrapped), store.probe()):
                answer = await store.refused(call, says="what the provider answers with garbage")
                assert answer.outage is not Outage.REFUSED, f"{answer.code} takes garbage for a refusal"
            await place.mend(connection)
            assert await store.unwrap(wrapped) == KEY, ANOTHER

    async def _wrapped(self, place: KeyPlace) -> tuple[Connection, Wrapped]:
        connection = await place.connect(TENANT)
        async with Asked(place, connection) as store:
            return connection, await store.wrap(KEY)

    async def _checked(self, store: Asked) -> list[Finding]:
        try:
            return list(await store.check())
        except Answered as refused:
            raise AssertionError(f"check raises {refused.code} instead of telling it") from None

    def _probe_tells(self, met: Met) -> None:
        if met.open:
            return
        if met.root:
            assert met.probe in met.root, f"probe answers {met.probe or 'well'}, keys meet {met.root}"
        else:
            assert not met.probe, f"probe answers {met.probe}, and new keys go in and out"
