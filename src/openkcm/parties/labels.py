"""Every label that separates one use of a key from another: what is signed, sealed to a party, or derived.

They stand in signatures and associated data for ever: never rename one, never reuse one. Only the message format's
own (``"L4"``, its suites) stand elsewhere, in ``openkcm_client``.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import Final, Literal

Kind = Literal["control", "region"]
"""What a party is: there is one control and there are regions."""


class Record(StrEnum):
    """What may be signed; the first item of what a signature covers."""

    DESIRED = "desired"
    TIGHTENING = "tightening"
    AGREEMENT = "agreement"
    STATEMENT = "statement"
    WRAP = "wrap"
    OFFER = "offer"
    HAND_OVER = "hand-over"
    RECEIPT = "receipt"
    KEY_RECEIPT = "key-receipt"
    CERTIFICATE = "certificate"
    KEY_CERTIFICATE = "key-certificate"
    CHECKPOINT = "checkpoint"


SIGNER: Final = MappingProxyType[Record, Kind](
    {
        Record.DESIRED: "control",
        Record.TIGHTENING: "control",
        Record.AGREEMENT: "control",
        Record.STATEMENT: "region",
        Record.WRAP: "region",
        Record.OFFER: "region",
        Record.HAND_OVER: "region",
        Record.RECEIPT: "region",
        Record.KEY_RECEIPT: "region",
        Record.CERTIFICATE: "control",
        Record.KEY_CERTIFICATE: "control",
        Record.CHECKPOINT: "region",
    }
)
"""Which kind of party signs each record; a signature by the other kind is none."""


class Sealed(StrEnum):
    """What may be sealed to a party's public key; the first item of HPKE's ``info``."""

    CREDENTIAL = "credential"
    HAND_OVER = "hand-over"


CHANGE_DESTROY: Final = "destroy-pending"
"""The first item of the hash of that change."""
CHANGE_DESTROY_KEY: Final = "destroy-key-pending"
"""The same for one key."""

FINGERPRINT: Final = "fingerprint"
"""The first item of what a party's fingerprint is the SHA-256 of."""
