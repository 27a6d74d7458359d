"""Made-up content for the pages of keys."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import cast

import msgspec

from openkcm.activation.means import Deciding
from openkcm.dashboard.change_view import ChangePage, ChangeState, ChangeStep, StepState
from openkcm.dashboard.key_actions import Facts, actions
from openkcm.dashboard.key_follows import consequences
from openkcm.dashboard.key_pages import next_of
from openkcm.dashboard.key_words import BUTTONS, TYPED, Meant, question
from openkcm.dashboard.keys import DestroyLine, KeyLine, KeysPage, VersionLine
from openkcm.dashboard.keys_view import AskPage, KeysView, KeyView, RecentLine
from openkcm.dashboard.view import HomeState
from openkcm.kernel.clock import SystemClock
from openkcm.keychain.states import KeyAccess, KeyVerb
from openkcm.parties.identity import Identity
from openkcm.propagation.acknowledged import Acknowledged, RegionAnswer
from tests.web.content import ACCOUNT, FOUND, L2_ID, L3_ID, NOW

PERSON = "person:https://login.fjordline.example#mara.lindqvist@fjordline.example"
DAY = timedelta(days=1)
ENCRYPTS = "It encrypts now: revoke it or make it read-only first, or rotate it."


def deciding(*, without_step_up: bool = True) -> Deciding:
    """What decides, as far as a question looks at it."""
    return Deciding(
        identity=cast("Identity", None),  # a question signs nothing
        clock=SystemClock(),
        key_wait_s=30 * 24 * 3600.0,
        without_step_up=without_step_up,
    )


def destroy(state: str = "waiting", **changes: object) -> DestroyLine:
    made = DestroyLine(
        state=state,
        asked_by=PERSON,
        asked_at=NOW - DAY,
        due_at=NOW + 29 * DAY,
        ended_at=None,
        ended_by="",
        open=state in ("waiting", "closing", "destroying"),
    )
    return msgspec.structs.replace(made, **changes)


def version(number: int, state: str, end: DestroyLine | None = None, why_not: str = "") -> VersionLine:
    return VersionLine(
        key_id=f"{number:02x}{L3_ID[2:]}",
        version=number,
        state=state,
        created_at=FOUND + number * DAY,
        activated_at=None if state in ("ready", "abandoned") else FOUND + number * DAY,
        destroy=end,
        why_not=why_not,
    )


def line(service: str, access: str = "active", **changes: object) -> KeyLine:
    facts = Facts(
        service=service,
        off="",
        access=KeyAccess(access),
        before=KeyAccess.ACTIVE,
        all_restricted=False,
        has_key=changes.get("versions") != (),
        leaving=False,
        leaving_active=False,
        leaving_all=False,
        busy=False,
        may_make=True,
    )
    made = KeyLine(
        service=service,
        access=access,
        restores_to="active",
        restricted_since=None if access == "active" else NOW - DAY,
        restricted_by="" if access == "active" else PERSON,
        versions=(version(3, "active", why_not=ENCRYPTS), version(2, "decrypt-only"))
        if service
        else (
            VersionLine(
                key_id=L2_ID,
                version=1,
                state="active",
                created_at=FOUND,
                activated_at=FOUND,
                destroy=None,
                why_not="It wraps all service keys now; rotate it, and the old one goes by itself.",
            ),
        ),
        actions=tuple(actions(facts)),
        rotate_every_days=0,
        rotates_at=None,
    )
    return msgspec.structs.replace(made, **changes)


def region(name: str, after_s: float | None = 0.4, **changes: object) -> RegionAnswer:
    at = None if after_s is None else NOW + timedelta(seconds=after_s)
    made = RegionAnswer(region=name, acknowledged_at=at, tried_at=NOW + timedelta(seconds=6))
    return msgspec.structs.replace(made, **changes)


ANSWERED = (region("Frankfurt"), region("Dublin", 0.62), region("Stockholm", 1.3))
SILENT = (
    region("Frankfurt"),
    region("Dublin", None, refusal="region-unavailable", message="Region Dublin does not answer."),
    region("Stockholm", None, stops_at=NOW + timedelta(hours=1)),
)
RECENT = (
    RecentLine(
        request="page-1", title="Rotating the key of default", by="mara.lindqvist@fjordline.example", at=NOW
    ),
    RecentLine(
        request="cli-2",
        title="Revoking all keys of Payments",
        by="kim, who runs this installation",
        at=NOW - DAY,
    ),
)
LINES = (
    line(""),
    line("default", rotate_every_days=90, rotates_at=NOW + 60 * DAY),
    line("archive-2024", "read-only"),
    line("billing", "revoked"),
)


def found(
    *lines: KeyLine, regions: tuple[RegionAnswer, ...] = ANSWERED, presence: str = "present"
) -> KeysPage:
    decision = Acknowledged(tenant=ACCOUNT.id, epoch=1, generation=42, decided_at=NOW, regions=regions)
    return KeysPage(
        tenant=ACCOUNT.id,
        presence=presence,
        ends_at=None,
        keys=lines or LINES,
        change=None,
        decision=decision,
    )


def steps(*states: StepState) -> tuple[ChangeStep, ...]:
    names = ("prepare", "mint", "switch", "settle")
    titles = (
        "Check what was asked for",
        "Make the new version, and store it in every region",
        "Let it take over everywhere at once",
        "Settle what the old version is for",
    )
    return tuple(
        ChangeStep(
            name=name,
            title=title,
            state=state,
            took_s=0.12 if state is StepState.DONE else None,
            detail="Region <Dublin> does not answer."
            if state in (StepState.RETRYING, StepState.FAILED)
            else "",
        )
        for name, title, state in zip(names, titles, states, strict=True)
    )


DONE, WAITING = StepState.DONE, StepState.WAITING


def report(state: ChangeState, **changes: object) -> ChangePage:
    made = ChangePage(
        account=ACCOUNT,
        request="page-0123",
        service="billing",
        title="Revoking the key of billing",
        asked_by="mara.lindqvist@fjordline.example",
        asked_at=NOW,
        state=state,
        steps=(),
        generation=42,
        decided_at=NOW,
        finished_at=NOW + timedelta(seconds=1.3) if state is ChangeState.DONE else None,
        regions=ANSWERED if state is ChangeState.DONE else SILENT,
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # the names are checked by replace itself


ROTATION = report(
    ChangeState.RUNNING,
    service="default",
    title="Rotating the key of default",
    steps=steps(DONE, StepState.RUNNING, WAITING, WAITING),
    regions=(),
    decided_at=None,
    generation=0,
)


def all_keys(*lines: KeyLine, state: HomeState = HomeState.ACTIVE, **changes: object) -> KeysView:
    presence = {HomeState.ACTIVE: "present", HomeState.UNINSTALLED_OVER: "uninstalled"}.get(
        state, state.value
    )
    read = found(*lines, presence=presence)
    made = KeysView(
        account=ACCOUNT,
        state=state,
        found=read,
        next=next_of(read),
        under_way=None,
        recent=RECENT,
        unsafe=False,
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # the names are checked by replace itself


def one_key(which: KeyLine, state: HomeState = HomeState.ACTIVE, **changes: object) -> KeyView:
    made = KeyView(
        account=ACCOUNT,
        state=state,
        all_access="active",
        line=which,
        actions=which.actions,
        destroys={each.version: each.why_not for each in which.versions},
        under_way=None,
        recent=(),
        unsafe=False,
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # the names are checked by replace itself


def asking(verb: KeyVerb, service: str = "default", at: int | None = None, **changes: object) -> AskPage:
    meant = Meant(
        account=ACCOUNT.name,
        service=service,
        version=at,
        active=3,
        services=("default", "archive-2024", "billing"),
        regions=("Frankfurt", "Dublin", "Stockholm"),
        wait_s=30 * 24 * 3600.0,
    )
    title, lead, stay = question(verb, meant)
    made = AskPage(
        account=ACCOUNT,
        service=service,
        verb=verb.value,
        version=at,
        title=title,
        lead=lead,
        button=BUTTONS[verb],
        stay=stay,
        consequences=consequences(verb, meant),
        request="page-" + "0" * 32,
        phrase=meant.name if verb in TYPED else "",
        given="90" if verb is KeyVerb.SCHEDULE else "",
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # the names are checked by replace itself
