"""A key as this region keeps it: statement, wrap and erase secret, authenticated under the region's own root.

What is read from the database is believed only after ``check``; who writes there can make it fail, nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hmac import compare_digest

import msgspec

from openkcm.crypto import labels
from openkcm.crypto.contract import KeyRecord, Statement, Wrap
from openkcm.crypto.hierarchy import (
    ROOT_PARENT,
    SealingKey,
    commitment,
    mismatch,
    unwrap_l2,
    unwrap_l3,
)
from openkcm.crypto.rootfile import Root
from openkcm.parties.signed import Signature


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One key's rows. ``erase_secret`` belongs to a platform-managed L2 alone and is None once it is erased."""

    key_id: bytes
    tenant: str
    level: str
    service: str
    algorithm: str
    commitment: bytes
    signature: bytes
    root_version: int
    mac: bytes
    holder: str
    parent: str
    parent_version: int
    wrap_algorithm: str
    blob: bytes
    wrap_signature: bytes
    wrap_root_version: int
    wrap_mac: bytes
    erase_secret: bytes | None

    def check(self, root: Root) -> None:
        """Statement and wrap are what this region accepted.

        Raises:
            Permanent: RECORD_MISMATCH.
        """
        good = compare_digest(self.mac, _statement_mac(root.sealing(self.root_version), self))
        if not good or not compare_digest(
            self.wrap_mac, _wrap_mac(root.sealing(self.wrap_root_version), self)
        ):
            raise mismatch(f"Key {self.key_id.hex()}")

    def open_l2(self, root: Root) -> bytes:
        """The L2 itself, which is the one its statement commits to.

        Raises:
            Permanent: RECORD_MISMATCH; changed rows, another's erase secret, or an erased key.
        """
        self.check(root)
        if self.level != "L2" or self.parent != ROOT_PARENT or self.erase_secret is None:
            raise mismatch(f"Key {self.key_id.hex()}")
        key = unwrap_l2(
            self.blob,
            root.sealing(self.parent_version),
            tenant=self.tenant,
            key_id=self.key_id,
            erase_secret=self.erase_secret,
        )
        return self._committed(key)

    def l2_from(self, root: Root, key: bytes) -> bytes:
        """The L2 itself, where this is what its customer's root key opened.

        Raises:
            Permanent: RECORD_MISMATCH; changed rows, or another key than its statement commits to.
        """
        self.check(root)
        if self.level != "L2" or self.parent == ROOT_PARENT:
            raise mismatch(f"Key {self.key_id.hex()}")
        return self._committed(key)

    def open_l3(self, root: Root, l2: bytes, l2_id: bytes) -> bytes:
        """The L3 itself, which is the one its statement commits to.

        Raises:
            Permanent: RECORD_MISMATCH; changed rows, or another L2's.
        """
        self.check(root)
        if self.level != "L3" or self.parent != l2_id.hex():
            raise mismatch(f"Key {self.key_id.hex()}")
        key = unwrap_l3(self.blob, l2, tenant=self.tenant, service=self.service, key_id=self.key_id)
        return self._committed(key)

    def record(self) -> KeyRecord:
        """The key as control and other regions see it."""
        return KeyRecord(
            statement=Statement(
                tenant=self.tenant,
                level="L2" if self.level == "L2" else "L3",
                service=self.service,
                key_id=self.key_id.hex(),
                algorithm=self.algorithm,
                commitment=self.commitment.hex(),
                signature=msgspec.json.decode(self.signature, type=Signature),
            ),
            wrap=Wrap(
                key_id=self.key_id.hex(),
                holder=self.holder,
                parent=self.parent,
                parent_version=self.parent_version,
                algorithm=self.wrap_algorithm,
                blob=self.blob,
                signature=msgspec.json.decode(self.wrap_signature, type=Signature),
            ),
        )

    def same_statement(self, other: Kept) -> bool:
        """Whether both say the same of the same key."""
        return (self.key_id, self.tenant, self.level, self.service, self.algorithm, self.commitment) == (
            other.key_id,
            other.tenant,
            other.level,
            other.service,
            other.algorithm,
            other.commitment,
        )

    def _committed(self, key: bytes) -> bytes:
        given = commitment(
            key, level=self.level, tenant=self.tenant, service=self.service, key_id=self.key_id
        )
        if not compare_digest(given, self.commitment):
            raise mismatch(f"Key {self.key_id.hex()}")
        return key


def keep(record: KeyRecord, sealing: SealingKey, *, erase_secret: bytes | None = None) -> Kept:
    """The record as it is stored from now on, authenticated by this region. Its signatures were checked before."""
    statement, wrap = record.statement, record.wrap
    bare = Kept(
        key_id=bytes.fromhex(statement.key_id),
        tenant=statement.tenant,
        level=statement.level,
        service=statement.service,
        algorithm=statement.algorithm,
        commitment=bytes.fromhex(statement.commitment),
        signature=msgspec.json.encode(statement.signature),
        root_version=sealing.version,
        mac=b"",
        holder=wrap.holder,
        parent=wrap.parent,
        parent_version=wrap.parent_version,
        wrap_algorithm=wrap.algorithm,
        blob=wrap.blob,
        wrap_signature=msgspec.json.encode(wrap.signature),
        wrap_root_version=sealing.version,
        wrap_mac=b"",
        erase_secret=erase_secret,
    )
    return replace(bare, mac=_statement_mac(sealing, bare), wrap_mac=_wrap_mac(sealing, bare))


def _statement_mac(sealing: SealingKey, kept: Kept) -> bytes:
    return sealing.authenticate(
        labels.KEY,
        kept.key_id,
        kept.tenant,
        kept.level,
        kept.service,
        kept.algorithm,
        kept.commitment,
        kept.signature,
    )


def _wrap_mac(sealing: SealingKey, kept: Kept) -> bytes:
    return sealing.authenticate(
        labels.WRAP,
        kept.key_id,
        kept.holder,
        kept.parent,
        kept.parent_version,
        kept.wrap_algorithm,
        kept.blob,
        kept.wrap_signature,
    )
