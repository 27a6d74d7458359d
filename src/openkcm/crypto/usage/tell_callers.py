"""Where a tenant's applications reach this region, and the newest use of each."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final

from openkcm.crypto.callers.sni import host_of
from openkcm.crypto.contract import CallersItem, CallersTold, LastUse
from openkcm.crypto.contract_uses import MAX_CALLERS
from openkcm.crypto.here import Here
from openkcm.crypto.outcomes import attempt
from openkcm.crypto.usage.asked import bad, check_asked
from openkcm.kernel.db import Role, Transaction, transaction
from openkcm.sdk.refusals import Refused

_PREFIX: Final = "caller:"
_LAST: Final = """select given.actor, last.at, last.verb, last.outcome
from unnest($2::text[]) as given (actor) cross join lateral (
    select at, verb, outcome from use_entries
    where tenant = $1 and actor = given.actor order by at desc, number desc limit 1
) as last"""


async def tell_callers(here: Here, items: Sequence[CallersItem]) -> list[CallersTold | Refused]:
    """What each item asks for; what was used in the last 10 s may not be written down yet.

    Refused alone: TENANT_UNKNOWN, REGION_NOT_IN_SET, BAD_REQUEST.
    """
    asked = await attempt(items, lambda item: _asked(here, item))
    address = _reached_at(here.data_address)
    async with transaction(Role.OWN) as tx:
        return [item if isinstance(item, Refused) else await _tell(tx, address, item) for item in asked]


def _asked(here: Here, item: CallersItem) -> CallersItem:
    check_asked(here, item.tenant)
    if len(item.callers) > MAX_CALLERS:
        raise bad(f"At most {MAX_CALLERS} callers are asked about at once.")
    return item


async def _tell(tx: Transaction, address: str, item: CallersItem) -> CallersTold:
    rows = await tx.fetch(_LAST, item.tenant, [f"{_PREFIX}{name}" for name in set(item.callers)])
    return CallersTold(
        tenant=item.tenant,
        address=address,
        last=tuple(
            LastUse(
                caller=row["actor"].removeprefix(_PREFIX),
                at=row["at"],
                verb=row["verb"],
                outcome=row["outcome"],
            )
            for row in rows
        ),
    )


def _reached_at(address: str) -> str:
    """Nobody reaches "every address of this machine": then the operator has not said where the region is."""
    with contextlib.suppress(ValueError):  # a name
        return "" if ip_address(host_of(address)).is_unspecified else address
    return address
