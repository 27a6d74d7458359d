"""The kit for key stores: what the core relies on, shown against the plugin's own provider or an emulator of it."""

from __future__ import annotations

import pytest

from openkcm.sdk.conformance.key_answers import KeyAnswers
from openkcm.sdk.conformance.key_calls import KeyCalls
from openkcm.sdk.conformance.key_checks import KeyChecks
from openkcm.sdk.conformance.key_place import ACTS, TENANT, KeyPlace
from openkcm.sdk.conformance.key_wrapping import KeyWrapping
from openkcm.sdk.conformance.told import Secrets
from openkcm.sdk.declared import declaration_faults


class KeyStoreContract(KeyWrapping, KeyCalls, KeyAnswers, KeyChecks):
    """Inherit it, set ``declaration``, and provide a fixture ``place`` that yields a fresh ``KeyPlace``."""

    def test_the_declaration_is_whole(self, place: KeyPlace) -> None:
        faults = declaration_faults(self.declaration)
        assert not faults, " ".join(faults)
        shown = place.plugin.declaration
        assert (
            shown.name,
            shown.fields,
            shown.permissions,
            shown.answers,
            shown.abilities,
            shown.wrappings,
        ) == (
            self.declaration.name,
            self.declaration.fields,
            self.declaration.permissions,
            self.declaration.answers,
            self.declaration.abilities,
            self.declaration.wrappings,
        ), "the plugin under test declares something else than what the kit was given"

    def test_every_answer_says_where_it_is_known_from(self) -> None:
        unsourced = [each.code for each in self.declaration.answers if not each.source]
        assert not unsourced, f"nobody knows where these are from: {', '.join(unsourced)}"

    def test_what_the_place_cannot_exists_and_has_a_reason(self, place: KeyPlace) -> None:
        codes = {each.code for each in self.declaration.answers}
        known = {
            *codes,
            *ACTS,
            *(f"mend:{code}" for code in codes),
            *(f"take_right:{each.name}" for each in self.declaration.permissions),
            *(f"wrong_value:{each.name}" for each in self.declaration.fields),
        }
        assert place.cannot.keys() <= known, f"there is nothing of that name: {place.cannot.keys() - known}"
        assert all(reason.strip() for reason in place.cannot.values()), (
            "something cannot be done without a reason"
        )

    def test_every_declared_ability_is_shown(self, place: KeyPlace) -> None:
        """A place that is the real provider may be somebody's, and not to be changed."""
        shown = [act for act, ability in ACTS.items() if ability in self.declaration.abilities]
        if not place.live:
            hidden = [act for act in shown if act in place.cannot]
            assert not hidden, f"the place cannot show what is declared: {', '.join(hidden)}"

    @pytest.mark.asyncio
    async def test_a_connection_never_shows_its_secrets(self, place: KeyPlace) -> None:
        connection = await place.connect(TENANT)
        sensitive = {each.name for each in self.declaration.fields if each.sensitive and not each.once}
        if not sensitive:
            pytest.skip(f"{self.declaration.name} declares no secret")
        assert connection.secrets.keys() & sensitive, "a connection without secrets proves nothing of them"
        assert not connection.answers.keys() & sensitive, "a secret stands among the answers"
        Secrets(connection.secrets.values()).assert_none_in("a representation", connection)
