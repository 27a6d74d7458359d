"""What the parts of the kit for key stores have in common: one test for each thing that a plugin declares."""

from __future__ import annotations

from typing import ClassVar, Final

import pytest

from openkcm.sdk.conformance.contract import Contract
from openkcm.sdk.conformance.key_place import KeyPlace
from openkcm.sdk.key_store import Ability, Declaration, DocumentedAnswer

KEY: Final = bytes(range(32))
OTHER_KEY: Final = bytes(range(100, 132))
# A plugin's test run shows what an assertion says, not what it compared: pytest rewrites the plugin's own tests alone.
ANOTHER: Final = "another key comes back than was wrapped"
CHANGED: Final = "something in the provider has changed"


class KeyContract(Contract):
    """``declaration`` is the plugin's; its answers, permissions and fields are tested one by one."""

    declaration: ClassVar[Declaration]

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Each documented answer, permission and field is a test of its own, under its name."""
        declared = {
            "code": [each.code for each in self.declaration.answers],
            "permission": [each.name for each in self.declaration.permissions],
            "field": [each.name for each in self.declaration.fields if not each.once],
        }
        for name, values in declared.items():
            if name in metafunc.fixturenames:
                nothing = pytest.param("", marks=pytest.mark.skip(reason=f"it declares no {name}"), id="none")
                metafunc.parametrize(name, values or [nothing])

    def able(self, ability: Ability) -> None:
        """The test goes on only where the plugin declares the ability."""
        if ability not in self.declaration.abilities:
            pytest.skip(f"{self.declaration.name} does not declare the ability {ability}")

    def can(self, place: KeyPlace, *acts: str) -> None:
        """The test goes on only where the place can do all of this."""
        for act in acts:
            if reason := place.cannot.get(act):
                pytest.skip(f"{type(place).__name__} cannot {act}: {reason}")

    def answer(self, code: str) -> DocumentedAnswer:
        """The documented answer of a code that is one."""
        documented = self.declaration.answer(code)
        assert documented is not None
        return documented
