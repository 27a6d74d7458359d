"""The plan of a new version of a key, in order. The names stand in journals and on pages: they never change."""

from __future__ import annotations

from typing import Final

from openkcm.activation.means import Means
from openkcm.activation.steps import Prepare, Settle, Switch
from openkcm.activation.steps_mint import Mint
from openkcm.keychain.rotate import PLAN
from openkcm.saga.step import Plan

CHANGE_KEYS: Final = PLAN


def change_keys(means: Means) -> Plan:
    """From a request to a new key in force everywhere, or to all as it was."""
    return Plan(
        name=CHANGE_KEYS,
        steps=(Prepare(means), Mint(means), Switch(means), Settle(means)),
        pivot="switch",
    )
