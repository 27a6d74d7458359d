"""The region's own tokens for the data plane: fields and an HMAC, valid for minutes, stored nowhere.

``okcm1.FIELDS.CODE``: base64url of a JSON array [root version, tenant, caller, service, verbs, expiry (s since 1970),
SHA-256 of the client certificate that it is bound to, in hex, or nothing, number of the caller's registration] and of
HMAC-SHA-256 over everything before the second point.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from hashlib import sha256
from typing import Final

import msgspec

from openkcm.crypto import labels
from openkcm.crypto.contract import Verb
from openkcm.crypto.rootfile import Root
from openkcm.sdk.refusals import Permanent, Refusal, Remedy

MAX_LIFETIME_S: Final = 900
_PREFIX: Final = "okcm1"
_MAX_CHARACTERS: Final = 2048


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

    __slots__ = ("_codes", "_newest")

    def __init__(self, root: Root) -> None:
        self._newest = root.current.version
        self._codes = {
            version: hmac.new(root.sealing(version).derive(labels.TOKEN), digestmod=sha256)
            for version in root.fingerprints
        }

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
        head = f"{_PREFIX}.{_text(msgspec.json.encode(grant))}"
        return f"{head}.{_text(self._code(self._newest, head))}"

    def read(self, token: str, *, now_s: float) -> Grant:
        """What the token says, if this region made it and it has not expired.

        Raises:
            Permanent: TOKEN_INVALID; one text for every cause.
        """
        head, _, code = token.rpartition(".")
        prefix, _, fields = head.partition(".")
        try:
            if prefix != _PREFIX or len(token) > _MAX_CHARACTERS:
                raise ValueError("not a token")
            grant = msgspec.json.decode(_bytes(fields), type=Grant)
            good = hmac.compare_digest(_bytes(code), self._code(grant.root_version, head))
        except (ValueError, NotBase64, KeyError, msgspec.MsgspecError):
            raise invalid() from None
        if not good or not 0 < grant.expires_at_s - now_s <= MAX_LIFETIME_S:
            raise invalid()
        return grant

    def _code(self, version: int, head: str) -> bytes:
        code = self._codes[version].copy()
        code.update(head.encode())
        return code.digest()


def invalid() -> Permanent:
    """The refusal of every token that does not hold."""
    return Permanent(
        Refusal.TOKEN_INVALID,
        "The token is missing, malformed, expired, or not of this region.",
        remedy=Remedy(
            "Ask for a new token; it lives 15 minutes at most.", "caller", "reference/crypto-service#tokens"
        ),
    )


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if _text(raw) != text:  # one spelling only
        raise ValueError("not canonical base64url")
    return raw
