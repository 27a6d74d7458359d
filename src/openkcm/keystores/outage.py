"""What a tenant wants while its key store does not answer: chosen by people, or the default of its key store's kind."""

from __future__ import annotations

from datetime import datetime

from openkcm.audit.record import record
from openkcm.audit.verbs import AuditVerb
from openkcm.crypto.contract import DesiredPolicy
from openkcm.kernel.db import Transaction

_PUT = """insert into outage_choices as there
    (tenant, choice, outage_s, doubtful_s, governance_s, encrypting_s, decrypting_s, set_by, set_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
on conflict (tenant) do update set choice = excluded.choice, outage_s = excluded.outage_s,
    doubtful_s = excluded.doubtful_s, governance_s = excluded.governance_s, encrypting_s = excluded.encrypting_s,
    decrypting_s = excluded.decrypting_s, set_by = excluded.set_by, set_at = excluded.set_at
where (there.choice, there.outage_s, there.doubtful_s, there.governance_s, there.encrypting_s, there.decrypting_s)
    is distinct from (excluded.choice, excluded.outage_s, excluded.doubtful_s, excluded.governance_s,
        excluded.encrypting_s, excluded.decrypting_s) returning true"""


async def choose_outage(
    tx: Transaction, tenant: str, wanted: DesiredPolicy, *, by: str, at: datetime, request: str
) -> bool:
    """The tenant's choice is this, and stays so whatever root key it has; false when it was. Audited.

    Whoever calls has locked the tenant, decides and sends.

    Raises:
        Permanent: BAD_REQUEST; a window is out of its range.
    """
    wanted.policy()
    windows = (wanted.outage_s, wanted.doubtful_s, wanted.governance_s)
    lives = (wanted.encrypting_s, wanted.decrypting_s)
    changed = await tx.fetchval(_PUT, tenant, wanted.choice.value, *windows, *lives, by, at)
    if changed:
        detail = {name: getattr(wanted, name) for name in wanted.__struct_fields__} | {"request": request}
        await record(tx, tenant, actor=by, verb=AuditVerb.OUTAGE_CHOSEN, object=tenant, detail=detail)
    return bool(changed)
