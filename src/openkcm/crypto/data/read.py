"""Reading the bodies of the data door's requests: one form, the same at every door, and nothing said twice.

Bytes are base64 of the standard alphabet with its padding (RFC 4648, 4). That a name stands twice in an object is seen
by its colons: no value that is accepted holds one, so there are as many colons as names.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from openkcm.crypto.data.data_keys import NewDataKey, OpenDataKey
from openkcm.crypto.data.decrypt import Decrypt
from openkcm.crypto.data.encrypt import MAX_AAD_BYTES, MAX_PLAINTEXT_BYTES, Encrypt
from openkcm.crypto.data.lease import RenewLease
from openkcm.crypto.data.rewrap import Rewrap
from openkcm.crypto.data.wire import (
    NAME,
    Batch,
    DataKeyItem,
    DataKeyRequest,
    Decrypted,
    DecryptItem,
    DecryptRequest,
    Encrypted,
    EncryptItem,
    EncryptRequest,
    Lease,
    LeasedKey,
    LeaseItem,
    LeaseRequest,
    OpenItem,
    OpenRequest,
    RewrapItem,
    Rewrapped,
    RewrapRequest,
)
from openkcm.crypto.tokens import Grant
from openkcm.crypto.use import Act
from openkcm.sdk.refusals import Permanent, Refusal, Remedy

#: Base64 of a message and its associated data, the longest names and JSON around them.
MAX_BODY_BYTES: Final = 4 * (MAX_PLAINTEXT_BYTES + MAX_AAD_BYTES) // 3 + 4096
MAX_SMALL_BODY_BYTES: Final = 4096
MAX_BATCH_BYTES: Final = 4 * 2**20
MAX_OCTETS_BYTES: Final = MAX_PLAINTEXT_BYTES + 4096
MAX_HEADER_AAD_BYTES: Final = 8 * 1024

Item = TypeVar("Item")
_Said: TypeAlias = tuple[Act[object], int]
"""What an item asks for, and how many names its object has."""
_NAME = re.compile(NAME)
_BYTES = msgspec.json.Decoder(bytes)
_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Kind:
    """What one route asks for. ``one`` and ``many`` read a body of it, for the token's tenant and service alone.

    ``by_item``: whether the items of a batch may want different verbs of the token.
    """

    name: str
    one: Callable[[bytes, Grant], Act[object]]
    many: Callable[[bytes], list[Act[object]]]
    item: type[object]
    request: type[object]
    done: type[object]
    max_body_bytes: int
    octets: Callable[[bytes, bytes], Act[object]] | None = None
    by_item: bool = False


def _kind(
    name: str,
    item: type[Item],
    request: type[Item],
    done: type[object],
    *,
    act: Callable[[Item], _Said],
    max_body_bytes: int = MAX_SMALL_BODY_BYTES,
    octets: Callable[[bytes, bytes], Act[object]] | None = None,
    by_item: bool = False,
) -> Kind:
    one_decoder = msgspec.json.Decoder(request)
    many_decoder: msgspec.json.Decoder[Batch[Item]] = msgspec.json.Decoder(_batch_of(item))

    def one(body: bytes, grant: Grant) -> Act[object]:
        try:
            found = one_decoder.decode(body)
        except _UNREADABLE:
            raise bad_body() from None
        made, names = act(found)
        # Every request type says whose it is; the item types do not.
        if found.tenant is not UNSET or found.service is not UNSET:  # type: ignore[attr-defined] # see above
            names += _whose(found, grant)  # type: ignore[arg-type] # see above
        if body.count(b":") != names:
            raise bad_body()
        return made

    def many(body: bytes) -> list[Act[object]]:
        try:
            found = many_decoder.decode(body).items
        except _UNREADABLE:
            raise bad_body() from None
        acts, names = zip(*map(act, found), strict=True)
        if body.count(b":") != 1 + sum(names):
            raise bad_body()
        return list(acts)

    return Kind(name, one, many, item, request, done, max_body_bytes, octets, by_item)


def _batch_of(item: type[Item]) -> type[Batch[Item]]:
    made: type[Batch[Item]] = Batch[item]  # type: ignore[valid-type] # known at run time alone
    return made


class _Whose(Protocol):
    @property
    def tenant(self) -> str | UnsetType: ...

    @property
    def service(self) -> str | UnsetType: ...


def _whose(found: _Whose, grant: Grant) -> int:
    """How many of its two names it says; they are the token's."""
    said = 0
    if (tenant := found.tenant) is not UNSET:
        said += 1
        if tenant != grant.tenant:
            _differs(tenant)
    if (service := found.service) is not UNSET:
        said += 1
        if service != grant.service:
            _differs(service)
    return said


def _differs(said: str) -> None:
    if not said:
        return  # as if it did not stand there
    if _NAME.fullmatch(said) is None:
        raise bad_body()
    raise not_permitted()


def _encrypt(item: EncryptItem) -> _Said:
    aad = item.aad
    return (Encrypt(item.plaintext, b""), 1) if aad is UNSET else (Encrypt(item.plaintext, aad), 2)


def _decrypt(item: DecryptItem) -> _Said:
    aad = item.aad
    return (Decrypt(item.message, b""), 1) if aad is UNSET else (Decrypt(item.message, aad), 2)


def _new_data_key(item: DataKeyItem) -> _Said:
    suite = item.suite
    return (NewDataKey("message"), 0) if suite is UNSET else (NewDataKey(suite), 1)


KINDS: Final = (
    _kind(
        "encrypt",
        EncryptItem,
        EncryptRequest,
        Encrypted,
        act=_encrypt,
        max_body_bytes=MAX_BODY_BYTES,
        octets=Encrypt,
    ),
    _kind(
        "decrypt",
        DecryptItem,
        DecryptRequest,
        Decrypted,
        act=_decrypt,
        max_body_bytes=MAX_BODY_BYTES,
        octets=Decrypt,
    ),
    _kind(
        "rewrap",
        RewrapItem,
        RewrapRequest,
        Rewrapped,
        act=lambda item: (Rewrap(item.envelope), 1),
    ),
    _kind(
        "data-keys",
        DataKeyItem,
        DataKeyRequest,
        LeasedKey,
        act=_new_data_key,
    ),
    _kind(
        "data-keys/open",
        OpenItem,
        OpenRequest,
        LeasedKey,
        act=lambda item: (OpenDataKey(item.envelope), 1),
    ),
    _kind(
        "leases",
        LeaseItem,
        LeaseRequest,
        Lease,
        act=lambda item: (RenewLease(bytes.fromhex(item.key_id), item.use), 2),
        by_item=True,
    ),
)


def read_header(value: bytes) -> bytes:
    """The associated data in a request's header, base64 as in JSON.

    Raises:
        Permanent: BAD_REQUEST; TOO_LARGE.
    """
    try:
        aad = _BYTES.decode(b'"' + value + b'"')
    except _UNREADABLE:
        raise bad_header() from None
    if b"\\" in value:  # an escape of JSON, which a header has not
        raise bad_header()
    if len(aad) > MAX_HEADER_AAD_BYTES:
        raise Permanent(
            Refusal.TOO_LARGE,
            "Associated data in a header has up to 8 KiB.",
            remedy=Remedy("Send it as JSON.", "caller", "reference/crypto-service#limits"),
        )
    return aad


def bad_body() -> Permanent:
    """The refusal of a body of another form; nothing of it is quoted, for it may be plaintext."""
    return Permanent(
        Refusal.BAD_REQUEST,
        "The request's body is not what this address takes.",
        remedy=Remedy(
            "Compare the request with /openapi.json.", "caller", "reference/crypto-service#refusals"
        ),
    )


def bad_header() -> Permanent:
    """The refusal of associated data in a header that cannot be read, or is not wanted there."""
    return Permanent(
        Refusal.BAD_REQUEST,
        "The header OpenKCM-AAD is base64, once, and goes with application/octet-stream alone.",
        remedy=Remedy("Correct the header.", "caller", "reference/crypto-service#octet-stream"),
    )


def not_permitted() -> Permanent:
    """The refusal of a token that is for something else."""
    return Permanent(
        Refusal.NOT_PERMITTED,
        "This token is for another tenant, service or verb.",
        remedy=Remedy("Ask for a token for this use.", "caller", "reference/crypto-service#tokens"),
    )


def asked_by(kind: Kind) -> Any:  # noqa: ANN401 - a schema's type is known at run time alone
    """The type of a batch of this kind, for its description."""
    return _batch_of(kind.item)
