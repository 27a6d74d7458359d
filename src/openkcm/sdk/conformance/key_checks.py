"""The kit for key stores, fourth part: a check finds all, changes nothing, and what is declared is true."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import pytest

from openkcm.sdk.conformance.asking import Asked
from openkcm.sdk.conformance.key_contract import CHANGED, KEY, KeyContract
from openkcm.sdk.conformance.key_place import OTHER_TENANT, TENANT, KeyPlace
from openkcm.sdk.fields import wrong_answers
from openkcm.sdk.key_store import Ability, Answered, Connection, Finding

_MALFORMED = "\x01"
"""No field takes a control character."""
_OWNERSHIP = "the finding about the owner's word is not what is so"
_OUTSIDE = "the finding about where the key is is not what is so"


class KeyChecks(KeyContract):
    @pytest.mark.asyncio
    async def test_a_good_connection_is_found_good(self, place: KeyPlace) -> None:
        found = await _checked(place, await place.connect(TENANT))
        assert found, "a check that finds nothing at all"
        assert not _told(found), f"a good connection is found wrong: {_told(found)}"

    @pytest.mark.asyncio
    async def test_check_changes_nothing_and_leaves_nothing_behind(self, place: KeyPlace) -> None:
        connection = await place.connect(TENANT)
        before = await place.snapshot()
        await _checked(place, connection)
        assert await place.snapshot() == before, CHANGED

    @pytest.mark.asyncio
    async def test_probe_changes_nothing_and_leaves_nothing_behind(self, place: KeyPlace) -> None:
        connection = await place.connect(TENANT)
        before = await place.snapshot()
        async with Asked(place, connection) as store:
            described = await store.describe()
            await store.probe()
            assert await store.describe() == described, CHANGED
        assert await place.snapshot() == before, CHANGED

    @pytest.mark.asyncio
    async def test_check_names_a_missing_permission_as_it_is_declared(
        self, place: KeyPlace, permission: str
    ) -> None:
        self.can(place, "take_right", f"take_right:{permission}")
        connection = await place.connect(TENANT)
        await place.take_right(connection, permission)
        found = await _checked(place, connection)
        missing = {each.permission for each in found if each.level == "bad" and each.permission}
        assert missing == {permission}, f"missing is {permission}, found missing is {missing or 'nothing'}"
        await place.mend(connection)
        assert not _told(await _checked(place, connection)), "what was mended is still found"

    @pytest.mark.asyncio
    async def test_check_names_a_permission_that_is_not_needed(self, place: KeyPlace) -> None:
        self.can(place, "grant_too_much")
        connection = await place.connect(TENANT)
        extra = await place.grant_too_much(connection)
        found = await _checked(place, connection)
        warned = {each.permission for each in found if each.level == "warn" and each.permission}
        assert extra in warned, f"held and not needed is {extra}, warned is of {warned or 'nothing'}"
        assert not [each for each in found if each.level == "bad"], "one right too much is no reason to stop"

    @pytest.mark.asyncio
    async def test_check_keys_a_wrong_answer_to_its_field(self, place: KeyPlace, field: str) -> None:
        self.can(place, "wrong_value", f"wrong_value:{field}")
        connection = await place.connect(TENANT)
        value = await place.wrong_value(connection, field)
        found = await _checked(place, _answering(self, connection, {field: value}))
        keyed = {each.field for each in found if each.level == "bad"}
        assert field in keyed, f"{field} is wrong, found wrong is {keyed or 'nothing'}"
        await place.mend(connection)
        assert not _told(await _checked(place, connection)), "what was mended is still found"

    @pytest.mark.asyncio
    async def test_every_field_that_cannot_be_is_found_at_once(self, place: KeyPlace) -> None:
        connection = await place.connect(TENANT)
        asked = [each for each in self.declaration.fields if not each.once]
        given = {**connection.answers, **connection.secrets}
        assert not wrong_answers(asked, given), "the place answers what its own fields do not take"
        if not asked:
            pytest.skip(f"{self.declaration.name} declares no field")
        malformed = {each.name: _MALFORMED for each in asked}
        found = await _checked(place, _answering(self, connection, malformed))
        unfound = malformed.keys() - {each.field for each in found if each.level == "bad"}
        assert not unfound, f"wrong and not found: {', '.join(sorted(unfound))}"

    @pytest.mark.asyncio
    async def test_nothing_secret_is_told_of_a_wrong_credential(self, place: KeyPlace, field: str) -> None:
        """Whatever the provider makes of it, and at every call."""
        self.can(place, "wrong_value", f"wrong_value:{field}")
        connection = await place.connect(TENANT)
        value = await place.wrong_value(connection, field)
        wrong = _answering(self, connection, {field: value})
        with suppress(Answered):  # it may be refused as soon as it is opened
            async with Asked(place, wrong) as store:
                for call in (store.describe, store.probe, store.check):
                    await store.code(call())
                await store.code(store.wrap(KEY))

    @pytest.mark.asyncio
    async def test_trust_sets_up_what_was_missing(self, place: KeyPlace) -> None:
        self.able(Ability.TRUST)
        self.can(place, "set_up")
        connection = await place.connect(TENANT)
        set_up = await place.set_up(connection)
        once = {each.name for each in self.declaration.fields if each.once}
        assert set_up.keys() <= once, "set-up credentials are fields that are declared once=True"
        assert _told(await _checked(place, connection)), "nothing is found missing before it is set up"
        async with Asked(place, connection) as store:
            assert not _told(await store.trust(set_up)), "trust does not set up what was missing"
        assert not _told(await _checked(place, connection)), "trust says that it is set up, check does not"

    @pytest.mark.asyncio
    async def test_a_store_that_cannot_set_up_says_so_and_does_nothing(self, place: KeyPlace) -> None:
        if Ability.TRUST in self.declaration.abilities:
            pytest.skip("it can")
        connection = await place.connect(TENANT)
        before = await place.snapshot()
        async with Asked(place, connection) as store:
            assert _told(await store.trust({})), "nothing says that it cannot be set up"
        assert await place.snapshot() == before, CHANGED

    @pytest.mark.asyncio
    async def test_the_owners_word_is_found_and_so_is_its_absence(self, place: KeyPlace) -> None:
        self.able(Ability.OWNERSHIP)
        self.can(place, "disown")
        connection = await place.connect(TENANT)
        assert connection.subject, "a connection whose subject the owner could name"
        assert _levels(await _checked(place, connection), Ability.OWNERSHIP) == {"ok"}, _OWNERSHIP
        stranger = replace(connection, subject=f"{connection.subject}x", tenant=OTHER_TENANT)
        assert _levels(await _checked(place, stranger), Ability.OWNERSHIP) == {"bad"}, _OWNERSHIP
        await place.disown(connection)
        assert _levels(await _checked(place, connection), Ability.OWNERSHIP) == {"bad"}, _OWNERSHIP

    @pytest.mark.asyncio
    async def test_a_key_that_may_have_left_its_environment_is_found(self, place: KeyPlace) -> None:
        self.able(Ability.OUTSIDE)
        self.can(place, "expose")
        connection = await place.connect(TENANT)
        assert _levels(await _checked(place, connection), Ability.OUTSIDE) == {"ok"}, _OUTSIDE
        await place.expose(connection)
        assert _levels(await _checked(place, connection), Ability.OUTSIDE) == {"bad"}, _OUTSIDE

    @pytest.mark.asyncio
    async def test_checks_at_once_find_the_same(self, place: KeyPlace) -> None:
        async with Asked(place, await place.connect(TENANT)) as store:
            first, second = await asyncio.gather(store.check(), store.check())
        assert _facts(first) == _facts(second), "two checks at once find two things"


async def _checked(place: KeyPlace, connection: Connection) -> Sequence[Finding]:
    try:
        async with Asked(place, connection) as store:
            return await store.check()
    except Answered as refused:
        raise AssertionError(f"{refused.code} is raised where check has to find it") from None


def _answering(kit: KeyContract, connection: Connection, values: Mapping[str, str]) -> Connection:
    """The connection with other answers, each where its field belongs."""
    sensitive = {each.name for each in kit.declaration.fields if each.sensitive}
    return replace(
        connection,
        answers={**connection.answers, **{name: values[name] for name in values.keys() - sensitive}},
        secrets={**connection.secrets, **{name: values[name] for name in values.keys() & sensitive}},
    )


def _told(found: Sequence[Finding]) -> list[tuple[str, str]]:
    return [(each.code, each.said) for each in found if each.level != "ok"]


def _levels(found: Sequence[Finding], ability: Ability) -> set[str]:
    return {each.level for each in found if each.code == ability.value}


def _facts(found: Sequence[Finding]) -> list[tuple[str, str, str]]:
    return sorted((each.level, each.code, each.field + each.permission) for each in found)
