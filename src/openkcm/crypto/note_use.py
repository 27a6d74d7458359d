"""A key that is to be destroyed was used: on record before the answer leaves, and the destruction stops."""

from __future__ import annotations

from openkcm.audit.record import record
from openkcm.audit.verbs import AuditVerb
from openkcm.crypto.here import Here
from openkcm.crypto.hierarchy import mismatch
from openkcm.crypto.key_endings import changed, lock_key_counted, write_key_counted
from openkcm.crypto.view import View
from openkcm.kernel.db import Role, transaction
from openkcm.kernel.log import get_logger

log = get_logger(__name__)

_AT = "select clock_timestamp()"


async def note_use(here: Here, view: View, key_id: bytes) -> bool:
    """Whether the key may still be used: then this region's journal says that it was.

    The row decides, whatever this process knows: another process of the region may have closed the key already.

    Raises:
        Permanent: RECORD_MISMATCH; a row that this region did not write.
        Temporary: DATABASE_UNAVAILABLE; nobody gets an answer that is not on record.
    """
    pending = view.pending[key_id]
    name = (key_id, pending.since)
    if name in here.used:
        return True
    async with transaction(Role.OWN) as tx:
        counted = await lock_key_counted(tx, key_id)
        if counted is None:  # another process of this region has applied that it is kept
            return True
        if not counted.whole(here.root):
            raise mismatch(f"The count of key {key_id.hex()}")
        if counted.closed or counted.receipt:
            return False
        noted = not counted.stopped
        if noted:
            at = await tx.fetchval(_AT)
            used = changed(counted, here.root, stopped="used", stopped_at=at)
            await write_key_counted(tx, [used])
            await record(tx, view.tenant, actor="data-plane", verb=AuditVerb.KEY_USED, object=key_id.hex())
    here.used.add(name)
    if noted:
        log.warning("crypto.pending_key_used", tenant=view.tenant, key_id=key_id.hex())
    return True
