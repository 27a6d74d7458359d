"""Encrypting and decrypting one whole message with a service's key. What every door to the data plane comes down to.

Whatever has to be waited for, what counts is asked again afterwards: no message is answered by a state that another one
has followed meanwhile, nor by one that the database has not confirmed lately.
"""

from __future__ import annotations

from openkcm.crypto.here import Here
from openkcm.crypto.note_use import note_use
from openkcm.crypto.view import View
from openkcm.sdk.refusals import Permanent, Refusal, Remedy, Temporary
from openkcm_client.envelope import Envelope, parse
from openkcm_client.errors import FormatError
from openkcm_client.message import unwrap


async def encrypt(here: Here, view: View, service: str, plaintext: bytes, aad: bytes) -> bytes:
    """A message under the service's active key.

    Raises:
        Permanent: REGION_NOT_IN_SET, KEY_BLOCKED, KEY_REVOKED, KEY_READ_ONLY, KEY_NOT_ACTIVE, RECORD_MISMATCH;
            KEY_SUSPENDED, KEY_STORE_REFUSED, KEY_STORE_DOUBTFUL of a customer's root key.
        Temporary: DATABASE_UNAVAILABLE, for a key that is not in memory; UNAVAILABLE; KEY_STORE_SILENT,
            KEY_STORE_NO_ANSWER, CUT_OFF.
    """
    while True:
        view.check_here(here.region)
        key_id = view.encrypting_key(service)
        await here.roots.ready(view)
        key = await here.keys.get(view, key_id)
        if (now := here.state.view(view.tenant)) is view:
            here.roots.check(view)
            return key.encrypting(here.clock.monotonic()).encrypt(plaintext, aad)
        view = _followed(view, now)


async def decrypt(here: Here, view: View, service: str, message: bytes, aad: bytes) -> bytes:
    """The plaintext of a message that a key of this tenant and service made.

    Where that key is to be destroyed, it is on record that it was used before the plaintext leaves: that stops it.

    Raises:
        Permanent: CIPHERTEXT_INVALID, the same for every cause; REGION_NOT_IN_SET, KEY_BLOCKED, KEY_REVOKED,
            RECORD_MISMATCH; of the root key as ``encrypt``.
        Temporary: DATABASE_UNAVAILABLE, for a key that is not in memory or is to be destroyed; UNAVAILABLE; of the
            root key as ``encrypt``.
    """
    while True:
        view.check_here(here.region)
        view.check_not_revoked(service)
        try:
            envelope = parse(message)
            plaintext = await _opened(here, view, service, envelope, message, aad)
        except FormatError:
            raise bad_ciphertext() from None
        if (now := here.state.view(view.tenant)) is view:
            here.roots.check(view)
            return plaintext
        view = _followed(view, now)


async def _opened(
    here: Here, view: View, service: str, envelope: Envelope, message: bytes, aad: bytes
) -> bytes:
    if not view.decrypts(service, envelope.l3_key_id):
        raise bad_ciphertext()
    await here.roots.ready(view)
    key = await here.keys.get(view, envelope.l3_key_id)
    plaintext = unwrap(key.aead, envelope, view.tenant, service).decrypt(message, aad)
    if envelope.l3_key_id in view.pending and not await note_use(here, view, envelope.l3_key_id):
        raise bad_ciphertext()
    return plaintext


def _followed(before: View, now: View) -> View:
    """The view that counts now, for a caller whom ``before`` allowed.

    Raises:
        Temporary: UNAVAILABLE; other callers are registered now, so that the caller has to be looked at anew.
    """
    if now.desired.callers == before.desired.callers:
        return now
    raise Temporary(
        Refusal.UNAVAILABLE,
        f"The callers of tenant '{now.tenant}' were changed while its key was being loaded.",
        remedy=Remedy("Ask again.", "caller", "reference/crypto-service#keys-in-memory"),
        retry_after_s=0.1,
    )


def bad_ciphertext() -> Permanent:
    """The refusal of every message that does not open: nobody learns which part of it was right."""
    return Permanent(
        Refusal.CIPHERTEXT_INVALID,
        "The message does not open for this tenant, service and associated data.",
        remedy=Remedy(
            "Send the whole message as encrypt answered it, with the same associated data.",
            "caller",
            "reference/crypto-service#refusals",
        ),
    )
