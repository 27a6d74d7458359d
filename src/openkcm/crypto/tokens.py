"""The region's own tokens for the data plane: fields and an HMAC, valid for minutes, stored nowhere.

``okcm1.FIELDS.CODE``: base64url of a JSON array [root version, tenant, caller, service, verbs, expiry (s since 1970),
SHA-256 of the client certificate that it is bound to, in hex, or nothing, number of the caller's registration] and of
HMAC-SHA-256 over everything before the second point.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import b2a_base64
from hmac import compare_digest
from typing import Final

import msgspec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from openkcm.crypto import labels
from openkcm.crypto.contract import Verb
from openkcm.crypto.rootfile import Root
from openkcm.sdk.refusals import Permanent, Refusal, Remedy

MAX_LIFETIME_S: Final = 900
_PREFIX: Final = b"okcm1."
_MAX_CHARACTERS: Final = 2048
_MOST_READ: Final = 16_384
_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")


class Grant(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a token says: who may do what until when (whole seconds since 1970)."""

    root_version: int
    tenant: str
    caller: str
    service: str
    verbs: tuple[Verb, ...]
    expires_at_s: int
    leaf: str = ""
    """Hex SHA-256 of the client certificate over whose connection alone the token is good; empty: over any."""
    registered: int = 0
    """``DesiredCaller.registered``: with another registration of the same name the token is good no longer."""


class TokenMaker:
    """Makes and reads this region's tokens."""

    __slots__ = ("_codes", "_newest", "_read")

    def __init__(self, root: Root) -> None:
        self._newest = root.current.version
        self._codes = {
            version: HMAC(root.sealing(version).derive(labels.TOKEN), SHA256())
            for version in sorted(root.fingerprints, reverse=True)
        }
        self._read: dict[bytes, Grant] = {}

    def make(
        self,
        *,
        tenant: str,
        caller: str,
        service: str,
        verbs: tuple[Verb, ...],
        expires_at_s: int,
        leaf: str = "",
        registered: int = 0,
    ) -> str:
        """The token of these fields."""
        grant = Grant(self._newest, tenant, caller, service, verbs, expires_at_s, leaf, registered)
        head = _PREFIX + _text(msgspec.json.encode(grant))
        return (head + b"." + self._code(self._newest, head)).decode()

    def read(self, token: str | bytes, *, now_s: float) -> Grant:
        """What the token says, if this region made it and it has not expired.

        Raises:
            Permanent: TOKEN_INVALID; one text for every cause.
        """
        raw = token if isinstance(token, bytes) else token.encode()
        head, _, code = raw.rpartition(b".")
        if len(raw) > _MAX_CHARACTERS or not head.startswith(_PREFIX):
            raise invalid()
        # The code comes first: no byte is read that this region has not written, so it is spelt as it was written.
        version = self._newest
        if not compare_digest(self._code(version, head), code):
            version = self._older(head, code)
        grant = self._read.get(head) or self._fields(head)
        if grant.root_version != version or not 0 < grant.expires_at_s - now_s <= MAX_LIFETIME_S:
            raise invalid()
        return grant

    def _older(self, head: bytes, code: bytes) -> int:
        """The version of the root before the newest whose code this is."""
        for version in self._codes:
            if version != self._newest and compare_digest(self._code(version, head), code):
                return version
        raise invalid()

    def _fields(self, head: bytes) -> Grant:
        """What an authentic token says. It is kept, so that it is not parsed each time; no token is known by it."""
        if len(self._read) >= _MOST_READ:
            self._read.clear()
        fields = head[len(_PREFIX) :]
        grant = msgspec.json.decode(urlsafe_b64decode(fields + b"=" * (-len(fields) % 4)), type=Grant)
        self._read[head] = grant
        return grant

    def _code(self, version: int, head: bytes) -> bytes:
        code = self._codes[version].copy()
        code.update(head)
        return b2a_base64(code.finalize(), newline=False).translate(_URL_SAFE, b"=")


def invalid() -> Permanent:
    """The refusal of every token that does not hold."""
    return Permanent(
        Refusal.TOKEN_INVALID,
        "The token is missing, malformed, expired, or not of this region.",
        remedy=Remedy(
            "Ask for a new token; it lives 15 minutes at most.", "caller", "reference/crypto-service#tokens"
        ),
    )


def _text(raw: bytes) -> bytes:
    return urlsafe_b64encode(raw).rstrip(b"=")
