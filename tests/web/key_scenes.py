"""The pages of keys in every state."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import msgspec

from openkcm.dashboard.change_view import ChangePage, ChangeState, StepState
from openkcm.dashboard.keys import VersionLine
from openkcm.dashboard.keys_view import AskPage, KeysView, KeyView, RecentLine
from openkcm.dashboard.view import HomeState
from openkcm.keychain.states import ABOUT_CALLERS, KeyVerb
from tests.web.content import HOSTILE, NOW
from tests.web.keys import (
    ANSWERED,
    DAY,
    DONE,
    ENCRYPTS,
    LINES,
    PERSON,
    RECENT,
    ROTATION,
    SILENT,
    WAITING,
    all_keys,
    asking,
    destroy,
    found,
    line,
    one_key,
    region,
    report,
    steps,
    version,
)


def ends(at: datetime | None = None) -> tuple[VersionLine, ...]:
    """A key with versions in every state."""
    return (
        version(9, "ready", why_not="It is just being made."),
        version(8, "active", why_not=ENCRYPTS),
        version(7, "decrypt-only"),
        version(6, "decrypt-only", destroy("stopped", ended_at=NOW, ended_by="used in Dublin")),
        version(5, "decrypt-only", destroy("kept", ended_at=NOW, ended_by=PERSON)),
        version(4, "decrypt-only", destroy("waiting"), "It is on its way out already."),
        version(3, "decrypt-only", destroy("closing"), "It is on its way out already."),
        version(2, "decrypt-only", destroy("destroying"), "It is on its way out already."),
        version(1, "destroyed", destroy("destroyed", ended_at=at or NOW), "It is destroyed."),
        version(0, "abandoned"),
    )


GONE = (version(1, "destroyed", destroy("destroyed", ended_at=NOW), "It is destroyed."),)
KEY_LISTS: dict[str, KeysView] = {
    "keys": all_keys(),
    "keys-all-well": all_keys(
        *(
            msgspec.structs.replace(
                each, access="active", restricted_since=None, rotate_every_days=90, rotates_at=NOW + DAY
            )
            for each in LINES
        )
    ),
    "keys-no-service": all_keys(line("", versions=()), recent=()),
    "keys-many": all_keys(line(""), *(line(f"service-{n}") for n in range(9))),
    "keys-rotating": all_keys(under_way=ROTATION),
    "keys-one-gone": all_keys(*LINES[:2], line("old", "revoked", versions=GONE)),
    "keys-all-gone": all_keys(line(""), line("old", "revoked", versions=GONE)),
    "keys-behind": all_keys(found=found(regions=SILENT)),
    "keys-revoked": all_keys(line("", "revoked"), *LINES[1:], unsafe=True),
    "keys-read-only": all_keys(line("", "read-only"), line("default", versions=ends())),
    "keys-uninstalled": all_keys(state=HomeState.UNINSTALLED),
    "keys-uninstalled-over": all_keys(state=HomeState.UNINSTALLED_OVER),
    "keys-deleting": all_keys(state=HomeState.DELETING),
    "keys-gone": all_keys(state=HomeState.GONE),
    "keys-hostile": all_keys(
        line("", "revoked", restricted_by='person:x#"><script>alert(1)'),
        line("<s>"),
        account=HOSTILE,
        recent=(RecentLine(request="<i>", title="<h1>x</h1>", by="<b>x@example.org", at=NOW),),
        found=found(line(""), line("<s>"), regions=(region("<u>", None, message="<a>"),)),
    ),
}
KEY_ONES: dict[str, KeyView] = {
    "key": one_key(LINES[1], recent=RECENT, unsafe=True),
    "key-tenant": one_key(line("")),
    "key-revoked": one_key(line("billing", "revoked"), all_access="read-only"),
    "key-every-version": one_key(line("default", versions=ends())),
    "key-none": one_key(line("new", versions=())),
    "key-gone": one_key(line("old", versions=GONE)),
    "key-gone-revoked": one_key(
        line("old", "revoked", versions=GONE, rotate_every_days=30, rotates_at=NOW + DAY)
    ),
    "key-rotating": one_key(LINES[1], under_way=replace(ROTATION, state=ChangeState.UNDOING)),
    "key-deleting": one_key(LINES[1], HomeState.DELETING),
    "key-hostile": one_key(line("<s>", "read-only", restricted_by="operator:<b>x@"), account=HOSTILE),
}
ASKED: dict[str, AskPage] = {
    **{f"ask-{verb}": asking(verb) for verb in KeyVerb if verb not in {KeyVerb.CREATE, *ABOUT_CALLERS}},
    "ask-create": asking(KeyVerb.CREATE, ""),
    "ask-create-again": asking(KeyVerb.CREATE, "billing"),
    "ask-revoke-all": asking(KeyVerb.REVOKE, "", unsafe=True),
    "ask-read-only-all": asking(KeyVerb.READ_ONLY, ""),
    "ask-rotate-tenant-key": asking(KeyVerb.ROTATE, ""),
    "ask-destroy-version": asking(KeyVerb.DESTROY, "default", 2),
    "ask-wrong": asking(
        KeyVerb.REVOKE,
        given="defualt",
        wrong="That is another name. Nothing was changed. Type default to go on.",
    ),
    "ask-refused": asking(KeyVerb.ENABLE, why_not="It is active already."),
    "ask-hostile": asking(
        KeyVerb.REVOKE,
        "",
        account=HOSTILE,
        title="<h1>x",
        phrase=HOSTILE.name,
        given='"><script>',
        wrong="<i>",
    ),
}
CHANGES: dict[str, ChangePage] = {
    "change-done": report(ChangeState.DONE),
    "change-unchanged": report(ChangeState.UNCHANGED, regions=ANSWERED),
    "change-reaching": report(
        ChangeState.REACHING, regions=(region("Frankfurt"), region("Dublin", None, tried_at=None))
    ),
    "change-partly": report(ChangeState.PARTLY),
    "change-destroy": report(
        ChangeState.DONE,
        title="Destroying version 2 of the key of default",
        due_at=NOW + 30 * DAY,
    ),
    **{
        f"change-{ended}": report(
            ChangeState.DONE,
            title="Destroying version 2 of the key of default",
            ended=ended,
            ended_at=NOW + 30 * DAY,
            ended_by=by,
        )
        for ended, by in (("destroyed", ""), ("stopped", "used in Dublin"), ("kept", "<b>mara@example.org"))
    },
    "change-ahead": report(
        ChangeState.PARTLY,
        regions=(
            ANSWERED[0],
            region("Dublin", None, refusal="generation-old", message="It holds another state."),
        ),
    ),
    "change-outage": report(
        ChangeState.DONE, service="", verb="outage", title="Choosing what happens in an outage"
    ),
    "change-rotating": ROTATION,
    "change-creating": replace(ROTATION, title="Creating the service default", creates=True),
    "change-retrying": replace(ROTATION, steps=steps(DONE, StepState.RETRYING, WAITING, WAITING)),
    "change-rotated": replace(
        ROTATION,
        state=ChangeState.DONE,
        steps=steps(DONE, DONE, DONE, DONE),
        regions=ANSWERED,
        decided_at=NOW,
        generation=43,
        finished_at=NOW + timedelta(seconds=1.3),
    ),
    "change-undoing": replace(
        ROTATION, state=ChangeState.UNDOING, steps=steps(DONE, StepState.UNDONE, WAITING, WAITING)
    ),
    "change-undone": replace(
        ROTATION,
        state=ChangeState.UNDONE,
        steps=steps(StepState.UNDONE, StepState.UNDONE, WAITING, WAITING),
        why="The region Dublin refused it.",
    ),
    "change-undo-failed": replace(
        ROTATION,
        state=ChangeState.UNDO_FAILED,
        steps=steps(DONE, StepState.FAILED, WAITING, WAITING),
        service="",
    ),
    "change-hostile": report(
        ChangeState.PARTLY,
        account=HOSTILE,
        title="<h1>x",
        asked_by="<b>x@",
        why="<i>",
        regions=(region("<u>", None, message="<a>"),),
    ),
}
