"""What applications and the data door say to each other: JSON, bytes as base64. Described by /openapi.json.

The token says tenant and service; a request may repeat them, and is refused where they differ. Of a batch each item
has its own result, in the order of the items: what was asked for, or a ``refusal`` as a single call answers it.
"""

from __future__ import annotations

from typing import Annotated, Final, Generic, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from openkcm.crypto.contract import Verb
from openkcm.serving.problem import Problem

MAX_ITEMS: Final = 1000
"""Items of a batch."""

NAME: Final = "^([a-z0-9][a-z0-9-]{0,62})?$"
Name = Annotated[str, Meta(pattern=NAME)]
KeyId = Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
Use = Literal["encrypt", "decrypt"]
Suite = Literal["message", "stream"]


class EncryptItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``aad`` is needed to decrypt, and is not in the message."""

    plaintext: bytes
    aad: bytes | UnsetType = UNSET


class Encrypted(msgspec.Struct, frozen=True, kw_only=True):
    """``message``: the envelope and the body; keep it whole."""

    message: bytes


class DecryptItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``message`` as ``encrypt`` answered it, with the same ``aad``."""

    message: bytes
    aad: bytes | UnsetType = UNSET


class Decrypted(msgspec.Struct, frozen=True, kw_only=True):
    plaintext: bytes


class RewrapItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``envelope``: the first 128 bytes of a message or stream; what follows them stays where it is."""

    envelope: bytes


class Rewrapped(msgspec.Struct, frozen=True, kw_only=True):
    """``envelope``: what takes the place of the first 128 bytes, under the key that encrypts now: ``key_id``.

    The same bytes where they are under that key already.
    """

    envelope: bytes
    key_id: KeyId


class DataKeyItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new data key, for whole messages (where nothing is said) or for streams."""

    suite: Suite | UnsetType = UNSET


class OpenItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The data key of this envelope, to decrypt with."""

    envelope: bytes


class LeasedKey(msgspec.Struct, frozen=True, kw_only=True):
    """A data key: ``key`` are the 32 bytes that its envelope carries, wrapped by the service key ``key_id``.

    It may be used for ``lease_s`` seconds from the moment the request was *sent*; ``leases`` renews that without
    another key. A key that was asked for new encrypts and decrypts, an opened one decrypts.
    """

    key: bytes
    envelope: bytes
    key_id: KeyId
    lease_s: float


class LeaseItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """May data keys that the service key ``key_id`` wraps still be used so?"""

    key_id: KeyId
    use: Use


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """They may, for ``lease_s`` seconds from the moment the request was sent.

    For encrypting only while that service key is the one that encrypts: after a rotation the answer is the refusal
    ``key-not-active``, and a new data key is to be asked for.
    """

    lease_s: float


_Whose = Annotated[str, Meta(extra_json_schema={"pattern": NAME})]


class EncryptRequest(EncryptItem, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``tenant`` and ``service`` may be said, and are the token's then."""

    tenant: _Whose | UnsetType = UNSET
    service: _Whose | UnsetType = UNSET


class DecryptRequest(DecryptItem, frozen=True, kw_only=True, forbid_unknown_fields=True):
    tenant: _Whose | UnsetType = UNSET
    service: _Whose | UnsetType = UNSET


class RewrapRequest(RewrapItem, frozen=True, kw_only=True, forbid_unknown_fields=True):
    tenant: _Whose | UnsetType = UNSET
    service: _Whose | UnsetType = UNSET


class DataKeyRequest(DataKeyItem, frozen=True, kw_only=True, forbid_unknown_fields=True):
    tenant: _Whose | UnsetType = UNSET
    service: _Whose | UnsetType = UNSET


class OpenRequest(OpenItem, frozen=True, kw_only=True, forbid_unknown_fields=True):
    tenant: _Whose | UnsetType = UNSET
    service: _Whose | UnsetType = UNSET


class LeaseRequest(LeaseItem, frozen=True, kw_only=True, forbid_unknown_fields=True):
    tenant: _Whose | UnsetType = UNSET
    service: _Whose | UnsetType = UNSET


class TokenRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Exchange what proves who calls for the region's own token: the client certificate of this connection, or
    ``assertion``, an OIDC token with the audience ``openkcm:REGION:TENANT``. Nothing is found by search.
    """

    tenant: Name
    service: Name
    caller: Name
    verbs: tuple[Verb, ...]
    assertion: str = ""
    lifetime_s: int = 900


class TokenAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """``expires_at_s``: seconds since 1970."""

    token: str
    expires_at_s: int
    region: str


Item = TypeVar("Item")
Done = TypeVar("Done")


class Batch(msgspec.Struct, Generic[Item], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """1 to 1000 items of one verb, for the token's tenant and service."""

    items: Annotated[tuple[Item, ...], Meta(min_length=1, max_length=MAX_ITEMS)]


class Result(msgspec.Struct, Generic[Done], frozen=True, kw_only=True, omit_defaults=True):
    """One of the two."""

    done: Done | None = None
    refusal: Problem | None = None


class BatchAnswer(msgspec.Struct, Generic[Done], frozen=True, kw_only=True):
    """Results in the order of the items."""

    items: tuple[Result[Done], ...]
