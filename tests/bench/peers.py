"""Other libraries that encrypt for applications, each as its own documentation has it used where speed counts."""

from __future__ import annotations

import os
from collections.abc import Callable

from aws_encryption_sdk import (
    CachingCryptoMaterialsManager,
    CommitmentPolicy,
    EncryptionSDKClient,
    LocalCryptoMaterialsCache,
)
from aws_encryption_sdk.identifiers import Algorithm, EncryptionKeyType, WrappingAlgorithm
from aws_encryption_sdk.internal.crypto.wrapping_keys import WrappingKey
from aws_encryption_sdk.key_providers.raw import RawMasterKeyProvider
from tink import aead, new_keyset_handle

Encrypt = Callable[[bytes], object]
_AAD = b""


def tink_aead() -> Encrypt:
    """Tink's AEAD with a key of its own: no envelope, no other tenant."""
    aead.register()
    primitive = new_keyset_handle(aead.aead_key_templates.AES256_GCM).primitive(aead.Aead)
    return lambda plaintext: primitive.encrypt(plaintext, _AAD)


def tink_envelope() -> Encrypt:
    """Tink's envelope: a data key for each message, wrapped by a key that is here and not in a KMS."""
    aead.register()
    local = new_keyset_handle(aead.aead_key_templates.AES256_GCM).primitive(aead.Aead)
    envelope = aead.KmsEnvelopeAead(aead.aead_key_templates.AES256_GCM, local)
    return lambda plaintext: envelope.encrypt(plaintext, _AAD)


def aws_esdk() -> Encrypt:
    """The AWS Encryption SDK with its cache of data keys, which are wrapped by a key that is here."""
    client = EncryptionSDKClient(commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT)
    manager = CachingCryptoMaterialsManager(
        master_key_provider=_Raw(),
        cache=LocalCryptoMaterialsCache(capacity=10),
        max_age=300.0,
        max_messages_encrypted=2**20,
    )
    suite = Algorithm.AES_256_GCM_HKDF_SHA512_COMMIT_KEY  # key commitment as ours, and no signature, as ours
    return lambda plaintext: client.encrypt(source=plaintext, materials_manager=manager, algorithm=suite)


class _Raw(RawMasterKeyProvider):  # type: ignore[misc] # the library has no types
    """One raw AES key in the process."""

    provider_id = "bench"

    def __init__(self, **_: object) -> None:
        self._key = os.urandom(32)
        self.add_master_key(b"bench")

    def _get_raw_key(self, key_id: bytes) -> WrappingKey:
        return WrappingKey(
            wrapping_algorithm=WrappingAlgorithm.AES_256_GCM_IV12_TAG16_NO_PADDING,
            wrapping_key=self._key,
            wrapping_key_type=EncryptionKeyType.SYMMETRIC,
        )
