"""The plan of a new account, in order. The names stand in journals, on pages and in figures: they never change."""

from __future__ import annotations

from openkcm.provisioning.means import Means
from openkcm.provisioning.steps_keys import Activate, Mint
from openkcm.provisioning.steps_ready import Announce, Grant, Notify, Publish
from openkcm.provisioning.steps_space import Admit, Assign
from openkcm.saga.step import Plan

NEW_TENANT = "new-tenant"
PIVOT = "activate"


def new_tenant(means: Means) -> Plan:
    """From an account that was seen to one whose owner has the mail."""
    return Plan(
        name=NEW_TENANT,
        steps=(
            Admit(),
            Assign(means),
            Mint(means),
            Activate(means),
            Grant(means),
            Publish(means),
            Announce(means),
            Notify(means),
        ),
        pivot=PIVOT,
        background=frozenset({"announce", "notify"}),
        joined=frozenset({"assign", "grant"}),
    )
