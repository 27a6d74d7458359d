"""A check that was asked for is made; new secrets of a connection in use count once every region found them good."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from openkcm.activation.change import send
from openkcm.activation.means import Means
from openkcm.audit.record import record
from openkcm.audit.verbs import AuditVerb
from openkcm.kernel.db import Role, Transaction, transaction
from openkcm.kernel.log import get_logger
from openkcm.kernel.notify import publish
from openkcm.keystores import check, store
from openkcm.saga.journal import CHANNEL
from openkcm.sdk.refusals import Permanent, Refusal
from openkcm.tenancy.asking import locked_for, operator
from openkcm.tenancy.model import Standing

log = get_logger(__name__)

TOPIC: Final = check.TOPIC
ACTOR: Final = "activation"


class Payload(msgspec.Struct, frozen=True):
    """The payload of ``keystores.check``."""

    tenant: str
    connection: str


@dataclass(frozen=True, slots=True)
class Adopt:
    """The handler of ``keystores.check``."""

    means: Means

    async def __call__(self, payload: dict[str, object]) -> None:
        """Every region has looked, what they found is kept, and whoever watches the tenant hears of it.

        A connection that was removed meanwhile is left alone.
        """
        asked = msgspec.convert(payload, Payload)
        try:
            looked = await check.look(self.means.regions, asked.tenant, asked.connection)
            async with transaction(Role.SYSTEM) as tx:
                tenant = await locked_for(tx, asked.tenant, operator(ACTOR))
                there = await store.connection_of(tx, asked.tenant, asked.connection)
                good = await check.note_checked(tx, looked, at=self.means.clock.now())
                waits = there.version < there.newest == looked.version
                if good and waits and tenant.presence in (Standing.PRESENT, Standing.UNINSTALLED):
                    await self._adopt(tx, asked, looked.version)
                await publish(tx, CHANNEL, asked.tenant)
        except Permanent as refused:
            if refused.refusal is not Refusal.CONNECTION_UNKNOWN:
                raise
            log.info("activation.checked_nothing", tenant=asked.tenant, connection=asked.connection)

    async def _adopt(self, tx: Transaction, asked: Payload, version: int) -> None:
        await store.let_count(tx, asked.tenant, asked.connection, version)
        await send(tx, self.means.deciding, asked.tenant)
        await record(
            tx,
            asked.tenant,
            actor=ACTOR,
            verb=AuditVerb.CONNECTION_COUNTS,
            object=f"connection:{asked.connection}",
            detail={"version": version},
        )
