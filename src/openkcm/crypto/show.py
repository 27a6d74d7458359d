"""What this region holds of a tenant, with control's signatures: for a control that knows less than the region does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from openkcm.crypto.contract import ShowItem, Shown, SignedDesired
from openkcm.crypto.here import Here
from openkcm.crypto.kept import Kept
from openkcm.crypto.outcomes import attempt, good
from openkcm.crypto.store import read_keys
from openkcm.crypto.view import View
from openkcm.kernel.db import Role, Transaction, transaction
from openkcm.parties.signed import Signature
from openkcm.sdk.refusals import Permanent, Refusal, Refused, Remedy
from openkcm_client.names import check_name

_APPLIED = "select tenant, hash, document, signature from applied where tenant = any($1::text[])"


@dataclass(frozen=True, slots=True)
class _Stored:
    hash: str
    signed: SignedDesired


async def show(here: Here, items: Sequence[ShowItem]) -> list[Shown | Refused]:
    """What was acknowledged of each tenant, and what there is to show for it.

    Refused alone: TENANT_UNKNOWN; this region never acknowledged anything of it.
    """
    known = await attempt(items, lambda item: _known(here, item))
    tenants = [item.tenant for item in good(known)]
    async with transaction(Role.OWN) as tx:
        if await tx.fetchval("select changes from region") != here.state.change:
            await here.state.catch_up(tx)
        stored = await _stored(tx, tenants)
        views = [view for tenant in tenants if (view := here.state.views.get(tenant)) is not None]
        l2s = [key_id for view in views for key_id in view.l2_ids()]
        kept = await read_keys(tx, {key_id for view in views for key_id in view.keys}, under=l2s)
    return await attempt(known, lambda item: _shown(here, item, stored, kept))


def _known(here: Here, item: ShowItem) -> ShowItem:
    check_name(item.tenant, what="tenant")
    if item.tenant not in here.state.views and item.tenant not in here.state.marks.marks:
        raise Permanent(
            Refusal.TENANT_UNKNOWN,
            f"This region holds nothing of a tenant '{item.tenant}'.",
            remedy=Remedy("Nothing; there is nothing to show.", "control", "reference/crypto-service#show"),
        )
    return item


async def _stored(tx: Transaction, tenants: Sequence[str]) -> dict[str, _Stored]:
    rows = await tx.fetch(_APPLIED, tenants)
    return {
        row["tenant"]: _Stored(
            row["hash"].hex(),
            SignedDesired(
                document=row["document"], signature=msgspec.json.decode(row["signature"], type=Signature)
            ),
        )
        for row in rows
    }


def _shown(here: Here, item: ShowItem, stored: Mapping[str, _Stored], kept: Mapping[bytes, Kept]) -> Shown:
    view, there = here.state.views.get(item.tenant), stored.get(item.tenant)
    marks = [here.state.marks.marks.get(item.tenant), view.mark if view else None]
    mark = max(one for one in marks if one is not None)
    # Only what this process has verified is shown: the row of a database that was tampered with is nobody's word.
    whole = view is not None and there is not None and there.hash == view.mark.hash
    return Shown(
        tenant=item.tenant,
        order=mark[:3],
        hash=mark.hash,
        document=there.signed if there is not None and whole else None,
        tightened=tuple(tight.item() for tight in here.state.tight.get(item.tenant, ())),
        records=tuple(
            key.record()
            for key_id, key in kept.items()
            if view is not None and key_id in view.keys and _is_whole(here, view, key)
        ),
    )


def _is_whole(here: Here, view: View, key: Kept) -> bool:
    try:
        key.check(here.root)
    except Refused:
        return False
    return key.tenant == view.tenant
