"""The keys that an issuer publishes, and the one that a token was signed with. No I/O."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from binascii import Error as NotBase64
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key

from openkcm.crypto.trust_checked import MAX_RSA_BITS, MIN_RSA_BITS

MAX_KEYS: Final = 32
_MAX_EXPONENT: Final = 2**32
#: What a key of each kind may have signed with; nothing symmetric, and not "none".
ALGORITHMS: Final[Mapping[tuple[str, str], frozenset[str]]] = MappingProxyType(
    {
        ("RSA", ""): frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
        ("EC", "P-256"): frozenset({"ES256"}),
        ("EC", "P-384"): frozenset({"ES384"}),
        ("EC", "P-521"): frozenset({"ES512"}),
        ("OKP", "Ed25519"): frozenset({"EdDSA"}),
    }
)
ALL: Final = frozenset().union(*ALGORITHMS.values())


class _Jwk(msgspec.Struct, frozen=True):
    kty: str
    kid: str = ""
    use: str = "sig"
    alg: str = ""
    key_ops: tuple[str, ...] = ("verify",)
    crv: str = ""
    n: str = ""
    e: str = ""
    x: str = ""
    y: str = ""

    def public(self) -> dict[str, str | list[str]]:
        """What makes the key; nothing else of the document is looked at."""
        named = {"kty": self.kty, "crv": self.crv, "n": self.n, "e": self.e, "x": self.x, "y": self.y}
        return {name: value for name, value in named.items() if value}


class _Jwks(msgspec.Struct, frozen=True):
    keys: tuple[msgspec.Raw, ...]


@dataclass(frozen=True, slots=True)
class PublicKey:
    """One key, and the algorithms that it may have signed with."""

    kid: str
    algorithms: frozenset[str]
    key: Key = field(repr=False)


def read_keys(document: bytes) -> tuple[PublicKey, ...]:
    """The keys of a JWKS that may sign; those of other kinds or uses are left out, as RFC 7517 (5) has it.

    Raises:
        ValueError: it is no JWKS, or has more than 32 keys.
    """
    try:
        found = msgspec.json.decode(document, type=_Jwks)
    except (msgspec.MsgspecError, RecursionError) as wrong:
        raise ValueError("not a JWKS") from wrong
    if len(found.keys) > MAX_KEYS:
        raise ValueError("too many keys")
    return tuple(key for key in map(_read, found.keys) if key is not None)


def chosen(keys: tuple[PublicKey, ...], *, kid: str, algorithm: str) -> PublicKey | None:
    """The one key that a token names; without a name the only one of its algorithm; None where that is not clear."""
    fitting = [key for key in keys if algorithm in key.algorithms and kid in ("", key.kid)]
    return fitting[0] if len(fitting) == 1 else None


def _read(raw: msgspec.Raw) -> PublicKey | None:
    try:
        jwk = msgspec.json.decode(raw, type=_Jwk)
        algorithms = ALGORITHMS.get((jwk.kty, jwk.crv), frozenset())
        if jwk.alg:
            algorithms &= {jwk.alg}
        if not algorithms or jwk.use != "sig" or "verify" not in jwk.key_ops or not _is_sized(jwk):
            return None
        return PublicKey(jwk.kid, algorithms, JWKRegistry.import_key(jwk.public()))
    except (msgspec.MsgspecError, JoseError, ValueError, TypeError, NotBase64, RecursionError):
        return None


def _is_sized(jwk: _Jwk) -> bool:
    """Whether checking a signature with it costs what it usually costs."""
    if jwk.kty != "RSA":
        return True
    modulus, exponent = _number(jwk.n), _number(jwk.e)
    return MIN_RSA_BITS <= modulus.bit_length() <= MAX_RSA_BITS and 3 <= exponent <= _MAX_EXPONENT


def _number(text: str) -> int:
    return int.from_bytes(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
