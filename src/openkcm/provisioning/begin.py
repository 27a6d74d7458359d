"""Tenants have appeared: each gets its saga, once."""

from __future__ import annotations

import msgspec

from openkcm.kernel import queue
from openkcm.kernel.db import Role, transaction
from openkcm.provisioning.plan import NEW_TENANT
from openkcm.saga import runner

TOPIC = "tenancy.appeared"

# A tenant that was undone starts again only when a person asks for it (retry), not because its manifest was touched.
_BEGIN = """insert into sagas (plan, tenant)
select $1, id from tenants
where id = any($2) and not exists (select 1 from sagas where sagas.tenant = tenants.id and sagas.plan = $1)
on conflict do nothing returning id"""


class Appeared(msgspec.Struct, frozen=True):
    """The payload of ``tenancy.appeared``."""

    tenants: list[str]


async def begin(payload: dict[str, object]) -> None:
    """Every tenant named has a saga under way or behind it."""
    appeared = msgspec.convert(payload, Appeared)
    async with transaction(Role.SYSTEM) as tx:
        for row in await tx.fetch(_BEGIN, NEW_TENANT, appeared.tenants):
            saga: int = row["id"]
            tx.after_commit(lambda saga=saga: queue.wake(runner.KIND, saga, 0))  # type: ignore[misc]  # bound now
