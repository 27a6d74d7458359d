"""Who wraps whom: root version → sealing key → L2 → L3. Pure: bytes in, bytes out, no database and no clock.

Every derivation is HKDF-SHA-256 with info = enc(label, region, tenant, key id, secret); every wrap is XAES-256-GCM
with its context as associated data. Labels stand in ``labels``; the whole scheme in docs/how-it-works/keys.md.
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from os import urandom
from typing import Final, NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from openkcm.crypto import labels
from openkcm.sdk.refusals import Permanent, Refusal, Remedy
from openkcm_client.enc import enc
from openkcm_client.xaes import NONCE_BYTES, XAES256GCM

KEY_BYTES: Final = 32
KEY_ID_BYTES: Final = 16
ALGORITHM: Final = "XAES-256-GCM"
"""What L2 and L3 are keys of, and what wraps them."""
WRAP_BYTES: Final = NONCE_BYTES + KEY_BYTES + 16
"""Every wrap of a key: nonce, key, tag."""
ROOT_PARENT: Final = "root"
"""The parent of a platform-managed L2 in its wrap."""


class SealingKey:
    """One version of a region's sealing key: what its records are authenticated and its L2s wrapped under."""

    __slots__ = ("_authenticate", "_material", "region", "version")

    def __init__(self, root: bytes, *, region: str, version: int) -> None:
        self.region = region
        self.version = version
        self._material = _hkdf(root, enc(labels.SEALING_KEY, region, version))
        self._authenticate = hmac.new(self.derive(labels.AUTHENTICATE), digestmod=sha256)

    def derive(self, label: str, *, tenant: str = "", key_id: bytes = b"", secret: bytes = b"") -> bytes:
        """32 bytes for one purpose."""
        return _hkdf(self._material, enc(label, self.region, tenant, key_id, secret))

    def authenticate(self, kind: str, *fields: bytes | str | int) -> bytes:
        """The 32-byte code by which this region knows a record that it has accepted."""
        code = self._authenticate.copy()
        code.update(enc(kind, self.region, *fields))
        return code.digest()

    def seal(self, label: str, secret: bytes, *context: bytes | str | int) -> bytes:
        """The secret under a key of this label's own, bound to its context."""
        return _seal(XAES256GCM(self.derive(label)), secret, enc(label, *context))

    def open(self, label: str, sealed: bytes, *context: bytes | str | int) -> bytes:
        """What was sealed.

        Raises:
            Permanent: RECORD_MISMATCH, it was changed or belongs to another context.
        """
        return _open(XAES256GCM(self.derive(label)), sealed, enc(label, *context))

    def __repr__(self) -> str:
        return f"SealingKey(region={self.region!r}, version={self.version})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is not copied or pickled")


def fingerprint(root: bytes, *, region: str, version: int) -> str:
    """What may be shown of a root version: 64 hex digits that tell it from every other and give nothing of it."""
    return _hkdf(root, enc(labels.ROOT_FINGERPRINT, region, version)).hex()


def new_key() -> tuple[bytes, bytes]:
    """A random key id (128 bits) and a random key (256 bits)."""
    return urandom(KEY_ID_BYTES), urandom(KEY_BYTES)


def commitment(key: bytes, *, level: str, tenant: str, service: str, key_id: bytes) -> bytes:
    """32 bytes that only this key gives in this place: a substituted key is seen by it."""
    return _hkdf(key, enc(labels.COMMITMENT, level, tenant, service, key_id))


def wrap_l2(l2: bytes, sealing: SealingKey, *, tenant: str, key_id: bytes, erase_secret: bytes) -> bytes:
    """The L2 under this region's root. Whoever deletes the erase secret has ended this wrap for ever."""
    key = XAES256GCM(sealing.derive(labels.L2_WRAP, tenant=tenant, key_id=key_id, secret=erase_secret))
    return _seal(key, l2, _l2_context(sealing, tenant, key_id))


def unwrap_l2(blob: bytes, sealing: SealingKey, *, tenant: str, key_id: bytes, erase_secret: bytes) -> bytes:
    """The L2.

    Raises:
        Permanent: RECORD_MISMATCH; another root, tenant, key id or erase secret, or a changed blob.
    """
    key = XAES256GCM(sealing.derive(labels.L2_WRAP, tenant=tenant, key_id=key_id, secret=erase_secret))
    return _open(key, blob, _l2_context(sealing, tenant, key_id))


def wrap_l3(l3: bytes, l2: bytes, *, tenant: str, service: str, key_id: bytes) -> bytes:
    """The L3 under its tenant's L2: the same blob in every region."""
    return _seal(XAES256GCM(l2), l3, enc("L3", tenant, service, key_id))


def unwrap_l3(blob: bytes, l2: bytes, *, tenant: str, service: str, key_id: bytes) -> bytes:
    """The L3.

    Raises:
        Permanent: RECORD_MISMATCH; another L2, tenant, service or key id, or a changed blob.
    """
    return _open(XAES256GCM(l2), blob, enc("L3", tenant, service, key_id))


def seal_lease(
    l2: bytes, sealing: SealingKey, *, tenant: str, key_id: bytes, lease_secret: bytes, context: bytes
) -> bytes:
    """The L2 as it outlasts an outage on this process's disk, until somebody deletes the lease secret."""
    key = XAES256GCM(sealing.derive(labels.LEASE, tenant=tenant, key_id=key_id, secret=lease_secret))
    return _seal(key, l2, _lease_context(sealing, tenant, key_id, context))


def open_lease(
    sealed: bytes, sealing: SealingKey, *, tenant: str, key_id: bytes, lease_secret: bytes, context: bytes
) -> bytes:
    """The L2.

    Raises:
        Permanent: RECORD_MISMATCH; another root, tenant, key id, lease secret or context, or changed bytes.
    """
    key = XAES256GCM(sealing.derive(labels.LEASE, tenant=tenant, key_id=key_id, secret=lease_secret))
    return _open(key, sealed, _lease_context(sealing, tenant, key_id, context))


def mismatch(what: str) -> Permanent:
    """The refusal of a record that is not what it says."""
    return Permanent(
        Refusal.RECORD_MISMATCH,
        f"{what} is not the record that this region accepted, so it is not used.",
        remedy=Remedy(
            "Restore the region's database together with its root, and look for who changed it.",
            "operator",
            "reference/crypto-service#record-mismatch",
        ),
    )


def _l2_context(sealing: SealingKey, tenant: str, key_id: bytes) -> bytes:
    return enc("L2", sealing.region, tenant, key_id, sealing.version)


def _lease_context(sealing: SealingKey, tenant: str, key_id: bytes, context: bytes) -> bytes:
    return enc("lease", sealing.region, tenant, key_id, sealing.version, context)


def _seal(key: XAES256GCM, secret: bytes, context: bytes) -> bytes:
    nonce = urandom(NONCE_BYTES)
    return nonce + key.encrypt(nonce, secret, context)


def _open(key: XAES256GCM, sealed: bytes, context: bytes) -> bytes:
    try:
        return key.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context)
    except (InvalidTag, ValueError):
        raise mismatch("A sealed key") from None


def _hkdf(key: bytes, info: bytes) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, None, info).derive(key)
