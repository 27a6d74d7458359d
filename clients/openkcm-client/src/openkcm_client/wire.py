"""What a region's data door is told and answers: JSON, bytes as base64 (``/openapi.json`` of a region describes it)."""

from __future__ import annotations

from typing import Final, Generic, Literal, TypeVar

import msgspec

MAX_ITEMS: Final = 1000
"""Items of a batch."""

Use = Literal["encrypt", "decrypt"]
Suite = Literal["message", "stream"]


class Item(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is asked for. Asked alone it says whose keys are meant, so that a token of another tenant or service is
    refused; a batch cannot say so.
    """

    tenant: str = ""
    service: str = ""


class EncryptItem(Item, frozen=True, kw_only=True, omit_defaults=True):
    plaintext: bytes
    aad: bytes = b""


class Encrypted(msgspec.Struct, frozen=True, kw_only=True):
    message: bytes


class DecryptItem(Item, frozen=True, kw_only=True, omit_defaults=True):
    message: bytes
    aad: bytes = b""


class Decrypted(msgspec.Struct, frozen=True, kw_only=True):
    plaintext: bytes


class RewrapItem(Item, frozen=True, kw_only=True, omit_defaults=True):
    envelope: bytes


class Rewrapped(msgspec.Struct, frozen=True, kw_only=True):
    envelope: bytes
    key_id: str


class DataKeyItem(Item, frozen=True, kw_only=True, omit_defaults=True):
    suite: Suite = "message"


class OpenItem(Item, frozen=True, kw_only=True, omit_defaults=True):
    envelope: bytes


class LeasedKey(msgspec.Struct, frozen=True, kw_only=True):
    """``key`` is the L4 itself: it is never printed."""

    key: bytes
    envelope: bytes
    key_id: str
    lease_s: float

    def __repr__(self) -> str:
        return f"LeasedKey(key_id={self.key_id!r})"


class LeaseItem(Item, frozen=True, kw_only=True, omit_defaults=True):
    key_id: str
    use: Use


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    lease_s: float


class TokenRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    tenant: str
    service: str
    caller: str
    verbs: tuple[str, ...]
    assertion: str = ""
    lifetime_s: int = 900

    def __repr__(self) -> str:
        return f"TokenRequest(tenant={self.tenant!r}, service={self.service!r}, caller={self.caller!r})"


class TokenAnswer(msgspec.Struct, frozen=True, kw_only=True):
    token: str
    expires_at_s: int
    region: str = ""

    def __repr__(self) -> str:
        return f"TokenAnswer(region={self.region!r})"


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """A refusal. ``code`` is stable; the other words are for people."""

    code: str
    status: int = 0
    detail: str = ""
    action: str = ""
    who: str = ""
    reference: str = ""
    retry_after_s: float | None = None


AnyItem = TypeVar("AnyItem", bound=Item)
Done = TypeVar("Done")


class Batch(msgspec.Struct, Generic[AnyItem], frozen=True, kw_only=True):
    items: tuple[AnyItem, ...]


class Result(msgspec.Struct, Generic[Done], frozen=True, kw_only=True):
    done: Done | None = None
    refusal: Problem | None = None


class BatchAnswer(msgspec.Struct, Generic[Done], frozen=True, kw_only=True):
    items: tuple[Result[Done], ...]
