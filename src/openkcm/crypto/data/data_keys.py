"""Leased data keys: a new one, and the one that an envelope carries. The application encrypts and decrypts by them."""

from __future__ import annotations

from os import urandom
from typing import Final

from openkcm.crypto.cache import ServiceKey
from openkcm.crypto.contract import Verb
from openkcm.crypto.data.lease import lease_s
from openkcm.crypto.data.rewrap import key_of
from openkcm.crypto.data.wire import LeasedKey, Suite
from openkcm.crypto.here import Here
from openkcm.crypto.use import bad_ciphertext
from openkcm.crypto.view import View
from openkcm.sdk.refusals import Permanent
from openkcm_client.envelope import SUITE_MESSAGE, SUITE_STREAM, Envelope, parse_envelope
from openkcm_client.errors import FormatError
from openkcm_client.wrapping import L4_BYTES, derive, unwrap_l4, wrap_l4

_SUITES: Final = {"message": SUITE_MESSAGE, "stream": SUITE_STREAM}


class NewDataKey:
    """A fresh data key under the service's active key."""

    __slots__ = ("_suite", "key_id")

    def __init__(self, suite: Suite) -> None:
        self._suite = suite
        self.key_id = b""

    def permitted(self, verbs: tuple[Verb, ...]) -> bool:
        return "encrypt" in verbs

    def wants(self, view: View, service: str) -> tuple[bytes]:
        """The active key.

        Raises:
            Permanent: KEY_BLOCKED, KEY_REVOKED, KEY_READ_ONLY, KEY_NOT_ACTIVE.
        """
        self.key_id = view.encrypting_key(service)
        return (self.key_id,)

    def does(self, here: Here, view: View, keys: tuple[ServiceKey, ...]) -> LeasedKey:
        (l3,) = keys
        key, suite = urandom(L4_BYTES), _SUITES[self._suite]
        _, commitment = derive(key, suite, l3.tenant, l3.service)
        wrapped = wrap_l4(l3.aead, l3.key_id, key, l3.tenant, l3.service)
        envelope = Envelope(l3_key_id=l3.key_id, wrapped=wrapped, commitment=commitment, suite=suite)
        return LeasedKey(
            key=key,
            envelope=envelope.to_bytes(),
            key_id=l3.key_id.hex(),
            lease_s=lease_s(here, view, "encrypt"),
        )

    def gone(self) -> Permanent:
        return bad_ciphertext()


class OpenDataKey:
    """The data key of an envelope, of a message or a stream."""

    __slots__ = ("_envelope", "key_id")

    def __init__(self, envelope: bytes) -> None:
        self._envelope = envelope
        self.key_id = b""

    def permitted(self, verbs: tuple[Verb, ...]) -> bool:
        return "decrypt" in verbs

    def wants(self, view: View, service: str) -> tuple[bytes]:
        """The key that the envelope names.

        Raises:
            Permanent: KEY_BLOCKED, KEY_REVOKED; CIPHERTEXT_INVALID, the same for every cause.
        """
        self.key_id = key_of(self._envelope, view, service)
        return (self.key_id,)

    def does(self, here: Here, view: View, keys: tuple[ServiceKey, ...]) -> LeasedKey:
        (l3,) = keys
        try:
            key, _ = unwrap_l4(l3.aead, parse_envelope(self._envelope), l3.tenant, l3.service)
        except FormatError:
            raise bad_ciphertext() from None
        return LeasedKey(
            key=key,
            envelope=self._envelope,
            key_id=l3.key_id.hex(),
            lease_s=lease_s(here, view, "decrypt"),
        )

    def gone(self) -> Permanent:
        return bad_ciphertext()
