"""Encrypting one whole message with a service's key."""

from __future__ import annotations

from typing import Final

from openkcm.crypto.cache import ServiceKey
from openkcm.crypto.contract import Verb
from openkcm.crypto.data.wire import Encrypted
from openkcm.crypto.here import Here
from openkcm.crypto.use import bad_ciphertext, too_large, use
from openkcm.crypto.view import View
from openkcm.sdk.refusals import Permanent

MAX_PLAINTEXT_BYTES: Final = 2**20
MAX_AAD_BYTES: Final = 2**16


class Encrypt:
    """A message of ``plaintext`` under the service's active key."""

    __slots__ = ("aad", "key_id", "plaintext")

    def __init__(self, plaintext: bytes, aad: bytes) -> None:
        self.plaintext = plaintext
        self.aad = aad
        self.key_id = b""

    def permitted(self, verbs: tuple[Verb, ...]) -> bool:
        return "encrypt" in verbs

    def wants(self, view: View, service: str) -> tuple[bytes]:
        """The active key.

        Raises:
            Permanent: TOO_LARGE; KEY_BLOCKED, KEY_REVOKED, KEY_READ_ONLY, KEY_NOT_ACTIVE.
        """
        if len(self.plaintext) > MAX_PLAINTEXT_BYTES or len(self.aad) > MAX_AAD_BYTES:
            raise too_large()
        self.key_id = view.encrypting_key(service)
        return (self.key_id,)

    def does(self, here: Here, view: View, keys: tuple[ServiceKey, ...]) -> Encrypted:
        data_key = keys[0].encrypting(here.clock.monotonic())
        return Encrypted(message=data_key.encrypt(self.plaintext, self.aad))

    def gone(self) -> Permanent:
        return bad_ciphertext()


async def encrypt(here: Here, view: View, service: str, plaintext: bytes, aad: bytes) -> bytes:
    """A message under the service's active key.

    Raises: as ``use`` and ``Encrypt.wants``.
    """
    return (await use(here, view, service, Encrypt(plaintext, aad))).message
