"""Control's proof that a tenant's keys work: a random record goes round, here or from one region to another."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from hashlib import sha256
from hmac import compare_digest
from os import urandom

from openkcm.crypto import labels
from openkcm.crypto.contract import Proof, ProveItem
from openkcm.crypto.data.decrypt import decrypt
from openkcm.crypto.data.encrypt import encrypt
from openkcm.crypto.here import Here
from openkcm.crypto.hierarchy import mismatch
from openkcm.crypto.view import View
from openkcm.sdk.refusals import Refused


async def prove(here: Here, items: Sequence[ProveItem]) -> list[Proof | Refused]:
    """Each record was encrypted (or came from another region) and has been decrypted here.

    Only records that ``prove`` made open: their associated data is its own, so this is no way to read a tenant's data.
    Refused alone, as ``encrypt`` and ``decrypt`` are.
    """
    await here.keys.warm([found for item in items if (found := _key(here, item)) is not None])
    return list(await asyncio.gather(*(_one(here, item) for item in items)))


def _key(here: Here, item: ProveItem) -> tuple[View, bytes] | None:
    try:
        view = here.state.view(item.tenant)
    except Refused:
        return None
    key_id = view.active.get(item.service)
    return (view, key_id) if key_id is not None else None


async def _one(here: Here, item: ProveItem) -> Proof | Refused:
    try:
        view = here.state.view(item.tenant)
        record, message = None, item.message
        if message is None:
            record = urandom(32)
            message = await encrypt(here, view, item.service, record, labels.PROOF_AAD)
        opened = await decrypt(here, view, item.service, message, labels.PROOF_AAD)
        if record is not None and not compare_digest(record, opened):
            raise mismatch("What was decrypted")
        return Proof(tenant=item.tenant, message=message, digest=sha256(opened).hexdigest())
    except Refused as refused:
        return refused
