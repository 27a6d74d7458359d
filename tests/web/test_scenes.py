"""Every field of every page is shown by some scene, and every state of every page has one."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from typing import Any

import pytest

from openkcm.dashboard import callers_view, change_view, keys_view, outage_view, root_view, uses_view
from openkcm.dashboard import view as dashboard
from openkcm.identity import view as identity
from openkcm.keychain.states import DestroyState, KeyState, KeyVerb
from openkcm.keystores.health import Condition
from openkcm.provisioning import view as provisioning
from openkcm.provisioning.view import SetupState
from openkcm.web import failures, help, shell  # noqa: A004 - the page is called help
from tests.web.scenes import SCENES
from tests.web.test_rendering import drawn

CONTEXTS = [
    found
    for module in (
        dashboard,
        keys_view,
        root_view,
        outage_view,
        uses_view,
        identity,
        provisioning,
        failures,
        help,
        shell,
    )
    for found in vars(module).values()
    if isinstance(found, type)
    and dataclasses.is_dataclass(found)
    and found.__module__ == module.__name__
    and found is not shell.Place
]


def test_every_field_of_every_context_is_shown_somewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    read: dict[type, set[str]] = defaultdict(set)
    for context in CONTEXTS:

        def note(self: object, name: str, context: type = context) -> Any:  # noqa: ANN401 - as Python has it
            read[context].add(name)
            return object.__getattribute__(self, name)

        monkeypatch.setattr(context, "__getattribute__", note)
    for name in SCENES:
        drawn(name)
    unread = {
        f"{context.__name__}.{field.name}"
        for context in CONTEXTS
        for field in dataclasses.fields(context)
        if field.name not in read[context]
    }
    assert unread == set()
    assert len(CONTEXTS) > 12


def test_every_state_of_every_page_has_a_scene() -> None:
    contexts = [scene.context for scene in SCENES.values()]
    setups = {c.state for c in contexts if isinstance(c, provisioning.ProvisioningPage)}
    outcomes = {s.outcome for c in contexts if isinstance(c, provisioning.ProvisioningPage) for s in c.steps}
    homes = [c for c in contexts if isinstance(c, dashboard.HomePage)]
    assert setups == set(SetupState)
    assert outcomes == set(provisioning.Outcome)
    assert {c.state for c in homes} == set(dashboard.HomeState)
    assert {s.state for c in homes for s in c.services} == set(dashboard.KeyState)
    assert {r.state for c in homes for r in c.regions} == set(dashboard.RegionState)
    assert {c.state for c in contexts if isinstance(c, identity.SignInPage)} == set(identity.LinkState)
    changes = [c for c in contexts if isinstance(c, change_view.ChangePage)]
    assert {c.state for c in changes} == set(change_view.ChangeState)
    assert {s.state for c in changes for s in c.steps} == set(change_view.StepState)
    assert {c.verb for c in contexts if isinstance(c, keys_view.AskPage)} == {
        *KeyVerb,
        "disconnect",
    } - {KeyVerb.ADD_CALLER}
    forms = [c for c in contexts if isinstance(c, callers_view.AddPage)]
    assert {c.kind for c in forms} == {kind.kind for kind in callers_view.KINDS}
    assert {c.state for c in contexts if isinstance(c, keys_view.KeysView)} == set(dashboard.HomeState)
    versions = [v for c in contexts if isinstance(c, keys_view.KeyView) for v in c.line.versions]
    assert {v.state for v in versions} == set(KeyState)
    assert {v.destroy.state for v in versions if v.destroy} == set(DestroyState)
    roots = [c for c in contexts if isinstance(c, root_view.RootKeyView)]
    assert {c.state for c in roots} == set(dashboard.HomeState)
    assert {line.condition for c in roots for line in c.regions} == set(Condition)
    assert {card.tone for c in roots for card in c.cards} == {"ok", "run", "bad", "off"}
    outages = [c for c in contexts if isinstance(c, outage_view.OutagePage)]
    assert {c.choice for c in outages} == {words.choice for words in outages[0].choices}
