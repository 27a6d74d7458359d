"""How far a tenant's end is, as pages and commands show it; and its certificate, checked."""

from __future__ import annotations

from datetime import datetime

import msgspec

from openkcm.ending.model import Checked, SignedCertificate, check
from openkcm.ending.store import PLAN, certificate_of, hold_of
from openkcm.kernel.commands import command
from openkcm.kernel.db import Role, Transaction, transaction
from openkcm.parties.pins import Pins
from openkcm.saga.journal import Trouble
from openkcm.sdk.refusals import Permanent, Refusal, Remedy
from openkcm.tenancy.store import get

_SAGA = """select state, trouble::text as trouble, array(select step from saga_steps
    where saga_steps.saga = sagas.id and direction = 'do' order by at) as done
from sagas where tenant = $1 and plan = $2 order by id desc limit 1"""
_DATES = "select destroyed_at, backups_end_at from certificates where tenant = $1"


class EndState(msgspec.Struct, frozen=True, kw_only=True):
    """What stands about the end. ``waits_for`` says what keeps it from going on by itself, ``action`` what ends that.

    ``state`` is that of its saga, empty before there is one; ``done`` are its steps that are done.
    """

    held_by: str = ""
    held_why: str = ""
    held_at: datetime | None = None
    state: str = ""
    done: tuple[str, ...] = ()
    waits_for: str = ""
    action: str = ""
    who: str = ""
    next_at: datetime | None = None
    destroyed_at: datetime | None = None
    backups_end_at: datetime | None = None

    @property
    def held(self) -> bool:
        """Whether it waits for somebody to release it."""
        return bool(self.held_by)


async def end_state(tx: Transaction, tenant: str) -> EndState:
    """What the transaction's rights show of this tenant's end."""
    held = await hold_of(tx, tenant)
    saga = await tx.fetchrow(_SAGA, tenant, PLAN)
    dates = await tx.fetchrow(_DATES, tenant)
    running = saga is not None and saga["state"] == "running"
    trouble = _first(saga["trouble"]) if saga is not None and running else None
    remedy = (trouble.remedy if trouble else None) or Remedy("", "")
    return EndState(
        held_by=held.held_by if held else "",
        held_why=held.why if held else "",
        held_at=held.held_at if held else None,
        state=saga["state"] if saga else "",
        done=tuple(saga["done"]) if saga else (),
        waits_for=trouble.message if trouble else "",
        action=remedy.action,
        who=remedy.who,
        next_at=trouble.next_at if trouble else None,
        destroyed_at=dates["destroyed_at"] if dates else None,
        backups_end_at=dates["backups_end_at"] if dates else None,
    )


async def checked_certificate(tenant: str, pins: Pins, *, now: datetime) -> tuple[SignedCertificate, Checked]:
    """The tenant's certificate, whose signatures are all good.

    Raises:
        Permanent: TENANT_UNKNOWN; TENANT_STATE, there is none; as ``model.check``.
    """
    async with transaction(Role.SYSTEM) as tx:
        await get(tx, tenant)
        signed = await certificate_of(tx, tenant)
    if signed is None:
        raise Permanent(
            Refusal.TENANT_STATE,
            f"There is no certificate of tenant {tenant}: its keys are not destroyed.",
            remedy=Remedy(
                f"See how far it is: {command(f'tenants show {tenant}')}",
                "operator",
                "operate/tenants#deletion",
            ),
        )
    return signed, check(pins, signed, tenant=tenant, now=now)


def _first(troubles: str) -> Trouble | None:
    return next(iter(msgspec.json.decode(troubles, type=dict[str, Trouble]).values()), None)
