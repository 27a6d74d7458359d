"""Tenants have appeared: each gets its saga, once."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from openkcm.provisioning.plan import NEW_TENANT
from openkcm.saga.runner import Runner

TOPIC = "tenancy.appeared"


class Appeared(msgspec.Struct, frozen=True):
    """The payload of ``tenancy.appeared``."""

    tenants: list[str]


@dataclass(frozen=True, slots=True)
class Begin:
    """The handler of ``tenancy.appeared``: every tenant named has a saga under way or behind it."""

    runner: Runner

    async def __call__(self, payload: dict[str, object]) -> None:
        await self.runner.begin(NEW_TENANT, msgspec.convert(payload, Appeared).tenants)
