"""The plan of a tenant's end, in order. The names stand in journals and on pages: they never change."""

from __future__ import annotations

from typing import Final

from openkcm.ending.means import Means
from openkcm.ending.steps import Destroy, LookAgain
from openkcm.ending.steps_after import Bury, Certify, Tell
from openkcm.ending.store import PLAN
from openkcm.saga.step import Plan

END_TENANT: Final = PLAN


def end_tenant(means: Means) -> Plan:
    """From a deletion whose grace is over to a tenant that is gone, with a certificate."""
    return Plan(
        name=END_TENANT,
        steps=(LookAgain(means), Destroy(means), Certify(means), Bury(means), Tell(means)),
        pivot="destroy",
    )
