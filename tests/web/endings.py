"""The overview of a tenant that is on its way out, in every state."""

from __future__ import annotations

from datetime import timedelta

from openkcm.dashboard.view import HomePage, HomeState, KeyState, ServiceLine
from openkcm.ending.shown import EndState
from tests.web.content import NOW, home

_OVER = {"began_at": NOW - timedelta(days=31), "ends_at": NOW - timedelta(days=1)}

ENDINGS: dict[str, HomePage] = {
    "home-deleting-held": home(
        state=HomeState.DELETING,
        end=EndState(held_by="operator:kim", held_why="The court asked <b>us</b>.", held_at=NOW),
        **_OVER,
    ),
    "home-deleting-overdue": home(
        state=HomeState.DELETING,
        end=EndState(
            state="running", waits_for="Region Dublin counts the grace itself, until 2026-10-14 12:00 UTC."
        ),
        **_OVER,
    ),
    "home-being-destroyed": home(state=HomeState.GONE, **_OVER),
    "home-gone": home(
        state=HomeState.GONE,
        end=EndState(state="done", destroyed_at=NOW, backups_end_at=NOW + timedelta(days=14)),
        services=(ServiceLine(name="default", key_id=None, key_version=None, state=KeyState.DESTROYED),),
        **_OVER,
    ),
}
