"""Moving an envelope to the key that encrypts now. What it stands in front of is not looked at."""

from __future__ import annotations

from collections.abc import Sequence

from openkcm.crypto.cache import ServiceKey
from openkcm.crypto.contract import Verb
from openkcm.crypto.data.wire import Rewrapped
from openkcm.crypto.here import Here
from openkcm.crypto.use import bad_ciphertext
from openkcm.crypto.view import View
from openkcm.sdk.refusals import Permanent
from openkcm_client.envelope import parse_envelope
from openkcm_client.errors import FormatError
from openkcm_client.rewrap import rewrap_envelope
from openkcm_client.wrapping import unwrap_l4


class Rewrap:
    """The same data key under the service's active key; the same bytes where they are under it already."""

    __slots__ = ("_active", "_envelope", "key_id")

    def __init__(self, envelope: bytes) -> None:
        self._envelope = envelope
        self._active = b""
        self.key_id = b""

    def permitted(self, verbs: tuple[Verb, ...]) -> bool:
        return "rewrap" in verbs or ("encrypt" in verbs and "decrypt" in verbs)

    def wants(self, view: View, service: str) -> tuple[bytes, bytes]:
        """The key that the envelope names, and the active one.

        Raises:
            Permanent: KEY_BLOCKED, KEY_REVOKED, KEY_READ_ONLY, KEY_NOT_ACTIVE; CIPHERTEXT_INVALID, the same for
                every cause.
        """
        self._active = view.encrypting_key(service)
        self.key_id = key_of(self._envelope, view, service)
        return self.key_id, self._active

    def does(self, here: Here, view: View, keys: Sequence[ServiceKey]) -> Rewrapped:
        old, new = keys
        try:
            envelope = parse_envelope(self._envelope)
            if old.key_id == new.key_id:
                unwrap_l4(old.aead, envelope, old.tenant, old.service)
            else:
                envelope = rewrap_envelope(old.aead, new.aead, new.key_id, envelope, new.tenant, new.service)
        except FormatError:
            raise bad_ciphertext() from None
        return Rewrapped(envelope=envelope.to_bytes(), key_id=new.key_id.hex())

    def gone(self) -> Permanent:
        return bad_ciphertext()


def key_of(envelope: bytes, view: View, service: str) -> bytes:
    """The id of the service key that this envelope names, which may decrypt.

    Raises:
        Permanent: KEY_BLOCKED, KEY_REVOKED; CIPHERTEXT_INVALID, the same for every cause.
    """
    view.check_not_revoked(service)
    try:
        key_id = parse_envelope(envelope).l3_key_id
    except FormatError:
        raise bad_ciphertext() from None
    if not view.decrypts(service, key_id):
        raise bad_ciphertext()
    return key_id
