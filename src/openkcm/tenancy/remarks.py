"""What a source noticed of a tenant: on record, and on its way to the owner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from openkcm.audit.record import Entry
from openkcm.audit.verbs import AuditVerb
from openkcm.kernel.db import Transaction
from openkcm.kernel.outbox import put
from openkcm.sdk.plain_text import display_text
from openkcm.sdk.tenant_source import Remark, RemarkKind

REMARKED: Final = "tenancy.remarked"
_VERBS: Final[Mapping[RemarkKind, AuditVerb]] = {RemarkKind.RESOURCE_REMOVED: AuditVerb.RESOURCE_REMOVED}
_OURS: Final = "select id from tenants where source = $1 and id = any($2::text[]) and presence <> 'gone'"


async def take_remarks(tx: Transaction, source: str, remarks: Sequence[Remark]) -> list[Entry]:
    """Each remark about a tenant of this source is in an outbox row ``tenancy.remarked`` {"tenant", "kind"}.

    Returns what is to be audited. Remarks about others' tenants, or unknown ones, are dropped.
    """
    if not remarks:
        return []
    rows = await tx.fetch(_OURS, source, sorted({each.tenant_id for each in remarks}))
    ours = {row["id"] for row in rows}
    entries = []
    for each in remarks:
        if each.tenant_id in ours:
            await put(
                tx, REMARKED, {"tenant": each.tenant_id, "kind": each.kind.value}, tenant=each.tenant_id
            )
            entries.append(
                Entry(
                    chain=each.tenant_id,
                    actor=f"source:{source}",
                    verb=_VERBS[each.kind],
                    object=each.tenant_id,
                    detail={"remark": display_text(each.detail, max_characters=500)},
                )
            )
    return entries
