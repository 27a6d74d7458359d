"""Opening one whole message with a key of its tenant and service."""

from __future__ import annotations

from typing import Final

from openkcm.crypto.cache import ServiceKey
from openkcm.crypto.contract import Verb
from openkcm.crypto.data.encrypt import MAX_AAD_BYTES, MAX_PLAINTEXT_BYTES
from openkcm.crypto.data.wire import Decrypted
from openkcm.crypto.here import Here
from openkcm.crypto.use import bad_ciphertext, too_large, use
from openkcm.crypto.view import View
from openkcm.sdk.refusals import Permanent
from openkcm_client.envelope import parse
from openkcm_client.errors import FormatError

MAX_MESSAGE_BYTES: Final = MAX_PLAINTEXT_BYTES + 4096


class Decrypt:
    """The plaintext of a message that a key of this tenant and service made."""

    __slots__ = ("aad", "key_id", "message")

    def __init__(self, message: bytes, aad: bytes) -> None:
        self.message = message
        self.aad = aad
        self.key_id = b""

    def permitted(self, verbs: tuple[Verb, ...]) -> bool:
        return "decrypt" in verbs

    def wants(self, view: View, service: str) -> tuple[bytes]:
        """The key that the message names.

        Raises:
            Permanent: TOO_LARGE; KEY_BLOCKED, KEY_REVOKED; CIPHERTEXT_INVALID, the same for every cause.
        """
        if len(self.message) > MAX_MESSAGE_BYTES or len(self.aad) > MAX_AAD_BYTES:
            raise too_large()
        view.check_not_revoked(service)
        try:
            key_id = parse(self.message).l3_key_id
        except FormatError:
            raise bad_ciphertext() from None
        if not view.decrypts(service, key_id):
            raise bad_ciphertext()
        self.key_id = key_id
        return (key_id,)

    def does(self, here: Here, view: View, keys: tuple[ServiceKey, ...]) -> Decrypted:
        try:
            opened = keys[0].opening(self.message).decrypt(self.message, self.aad)
        except FormatError:
            raise bad_ciphertext() from None
        return Decrypted(plaintext=opened)

    def gone(self) -> Permanent:
        return bad_ciphertext()


async def decrypt(here: Here, view: View, service: str, message: bytes, aad: bytes) -> bytes:
    """The plaintext of a message that a key of this tenant and service made.

    Raises: as ``use`` and ``Decrypt.wants``.
    """
    return (await use(here, view, service, Decrypt(message, aad))).plaintext
