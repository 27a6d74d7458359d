"""Owner and operator are told what became of a key that was to be destroyed."""

from __future__ import annotations

from datetime import datetime, timedelta

from openkcm.activation.certificate import BACKUP_DAYS
from openkcm.activation.means import Means
from openkcm.crypto.contract import KeyEnding
from openkcm.kernel.db import Transaction
from openkcm.keychain.destroy import Destroying
from openkcm.keychain.model import Key
from openkcm.notices.key_letters import KeyDestroyedLetter, KeyStoppedLetter
from openkcm.notices.put import OPERATOR, put
from openkcm.tenancy.model import Tenant


async def tell_stopped(
    tx: Transaction,
    means: Means,
    tenant: Tenant,
    key: Key,
    row: Destroying,
    *,
    region: str,
    said: KeyEnding,
) -> None:
    """Both know that the key is kept, and why; once for each time that it was to be destroyed."""
    event = f"key-stopped-{row.key_id}-{row.since[0]}-{row.since[1]}"
    for to_operator in (False, True):
        letter = KeyStoppedLetter(
            tenant=tenant.id,
            account_name=tenant.label,
            address=means.keys_address(tenant.id, key.service),
            to_operator=to_operator,
            key_id=row.key_id,
            what=_what(key),
            region=region,
            unknown=said.stopped == "unknown",
            at=said.stopped_at or means.clock.now(),
        )
        if to_operator:
            people = (means.operator,) if means.operator else ()
            await put(tx, OPERATOR, f"{event}:{tenant.id}", letter, recipients=people)
        elif tenant.past_pivot:
            await put(tx, tenant.id, event, letter, recipients=_owner(tenant))


async def tell_destroyed(
    tx: Transaction,
    means: Means,
    tenant: Tenant,
    key: Key,
    *,
    destroyed_at: datetime,
    regions: tuple[str, ...],
) -> None:
    """The owner knows of a key of theirs that was in use once; of the others there is nothing to tell."""
    if key.activated_at is None or not tenant.past_pivot:
        return
    letter = KeyDestroyedLetter(
        tenant=tenant.id,
        account_name=tenant.label,
        address=means.keys_address(tenant.id, key.service),
        key_id=key.key_id,
        what=_what(key),
        regions=regions,
        destroyed_at=destroyed_at,
        backups_end_at=destroyed_at + timedelta(days=BACKUP_DAYS),
    )
    await put(tx, tenant.id, f"key-destroyed-{key.key_id}", letter, recipients=_owner(tenant))


def _what(key: Key) -> str:
    return f"version {key.version} of service {key.service}" if key.service else f"tenant key {key.version}"


def _owner(tenant: Tenant) -> tuple[str, ...]:
    name = tenant.creator.username if tenant.creator else ""
    return (name,) if "@" in name else ()
