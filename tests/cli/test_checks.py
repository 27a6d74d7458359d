"""One plugin that cannot be asked costs the others' findings nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from openkcm.catalog.registry import Registry
from openkcm.cli._checks import _asked
from openkcm.sdk.checks import Checked
from openkcm.sdk.refusals import Refusal, Remedy, Temporary


class Well:
    async def check(self) -> Sequence[Checked]:
        return [Checked(level="ok", said="It answers.")]

    async def aclose(self) -> None:
        """Nothing is open."""


class Away(Well):
    async def check(self) -> Sequence[Checked]:
        raise Temporary(
            Refusal.SOURCE_UNAVAILABLE, "The file cannot be read.", remedy=Remedy("Look at it.", "Operator")
        )


async def test_a_plugin_that_refuses_to_be_asked_is_one_finding_beside_the_others() -> None:
    sources = cast("dict[str, Any]", {"away": Away(), "well": Well()})
    found = [
        (each.level, each.about, each.said, each.action)
        for each in await _asked(Registry(tenant_sources=sources))
    ]
    assert found == [
        ("bad", "plugin away", "The file cannot be read.", "Look at it."),
        ("ok", "plugin well", "It answers.", ""),
    ]
