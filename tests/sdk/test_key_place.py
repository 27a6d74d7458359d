"""What a place cannot do is said with a reason, shows as a skip, and hides no declared ability."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import pytest

from openkcm.sdk.conformance.key_place import OTHER_TENANT, TENANT
from openkcm.sdk.conformance.key_store import KeyStoreContract
from openkcm.sdk.key_store import FIELD_WRONG, Connection, wrong_fields
from openkcm.sdk.testing.memory_declaration import memory_declaration
from openkcm.sdk.testing.memory_key_place import MemoryPlace


class Kit(KeyStoreContract):
    declaration = memory_declaration()


class Poor(MemoryPlace):
    cannot: ClassVar = {"throttled": "nobody counts here", "rotate": "it is not ours"}


async def test_what_a_place_cannot_is_skipped_with_its_reason() -> None:
    with pytest.raises(pytest.skip.Exception, match="Poor cannot throttled: nobody counts here"):
        await Kit().test_a_documented_answer_is_met_under_its_code(Poor(), "throttled")


def test_a_declared_ability_that_is_not_shown_is_a_failure() -> None:
    with pytest.raises(AssertionError):
        Kit().test_every_declared_ability_is_shown(Poor())


def test_but_not_on_somebodys_account() -> None:
    class Live(Poor):
        live = True

    Kit().test_every_declared_ability_is_shown(Live())


@pytest.mark.parametrize("cannot", [{"trottled": "a slip"}, {"throttled": " "}])
def test_what_a_place_cannot_has_to_exist_and_to_have_a_reason(cannot: dict[str, str]) -> None:
    class Wrong(MemoryPlace):
        pass

    Wrong.cannot = cannot
    with pytest.raises(AssertionError):
        Kit().test_what_the_place_cannot_exists_and_has_a_reason(Wrong())


def test_a_kit_for_another_declaration_than_the_plugins_fails() -> None:
    class Other(KeyStoreContract):
        declaration = memory_declaration(name="other")

    with pytest.raises(AssertionError, match="something else"):
        Other().test_the_declaration_is_whole(MemoryPlace())


def test_a_declaration_that_is_not_whole_fails() -> None:
    whole = memory_declaration()

    class Twice(KeyStoreContract):
        declaration = replace(whole, permissions=(*whole.permissions, whole.permissions[0]))

    with pytest.raises(AssertionError, match="declared 2 times"):
        Twice().test_the_declaration_is_whole(MemoryPlace())


def test_an_answer_without_a_source_fails() -> None:
    whole = memory_declaration()

    class Unsourced(KeyStoreContract):
        declaration = replace(whole, answers=(replace(whole.answers[0], source=""), *whole.answers[1:]))

    with pytest.raises(AssertionError, match="key-disabled"):
        Unsourced().test_every_answer_says_where_it_is_known_from()


async def test_a_connection_with_a_secret_among_its_answers_fails() -> None:
    class Open(MemoryPlace):
        async def connect(self, tenant: str) -> Connection:
            hidden = await super().connect(tenant)
            return replace(hidden, answers={**hidden.answers, **hidden.secrets})

    await Kit().test_a_connection_never_shows_its_secrets(MemoryPlace())
    with pytest.raises(AssertionError):
        await Kit().test_a_connection_never_shows_its_secrets(Open())


async def test_two_connections_of_a_place_are_two_keys() -> None:
    place = MemoryPlace()
    one, other = await place.connect(TENANT), await place.connect(OTHER_TENANT)
    assert one.answers["key"] != other.answers["key"]
    assert one.secrets != other.secrets


async def test_wrong_fields_are_all_named_without_their_values_and_set_up_fields_are_not_asked_for() -> None:
    declaration = memory_declaration()
    connection = await MemoryPlace().connect(TENANT)
    assert wrong_fields(declaration, connection) == []
    wrong = replace(
        connection, answers={"address": "http://10.0.0.7", "identity": "openkcm", "colour": "red"}
    )
    found = {each.field: each for each in wrong_fields(declaration, wrong)}
    assert found.keys() == {"address", "key", "colour"}
    assert {(each.level, each.code) for each in found.values()} == {("bad", FIELD_WRONG)}
    assert "10.0.0.7" not in repr(found)
