"""An OIDC token that an application shows: what is asked of it before and after its signature is checked. Pure."""

from __future__ import annotations

import math
from base64 import urlsafe_b64decode
from binascii import Error as NotBase64
from dataclasses import dataclass, field
from typing import Final

import msgspec
from joserfc import jws
from joserfc.errors import JoseError

from openkcm.crypto.callers.key_set import ALL, PublicKey
from openkcm.crypto.callers.proof import ProofFailed, Why
from openkcm.crypto.trust import IssuerTrust

MAX_ASSERTION: Final = 16 * 1024
LEEWAY_S: Final = 60.0
"""How far the issuer's clock may be from ours."""
MAX_AGE_S: Final = 86_400.0
"""A token that was issued longer ago is not accepted, whatever its end."""
_REGISTRY: Final = jws.JWSRegistry(algorithms=sorted(ALL))


class _Header(msgspec.Struct, frozen=True):
    alg: str
    kid: str = ""
    typ: str = "JWT"
    crit: object = None
    b64: object = None


class _Claims(msgspec.Struct, frozen=True):
    iss: str
    sub: str
    aud: str | tuple[str, ...]
    exp: float
    iat: float
    nbf: float | None = None

    @property
    def audiences(self) -> tuple[str, ...]:
        return (self.aud,) if isinstance(self.aud, str) else self.aud


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertion:
    """A token whose words fit; whether its issuer signed it is to be seen. ``ends_at_s`` is since 1970."""

    algorithm: str
    kid: str
    ends_at_s: float
    token: str = field(repr=False)


def read_assertion(token: str, trust: IssuerTrust, *, audience: str, now_s: float) -> Assertion:
    """The token says what this caller's has to say, now. All of this costs microseconds, and asks nobody.

    Raises:
        ProofFailed: it is malformed, of another issuer, subject, audience or time, or signed in a way that proves
            nothing.
    """
    parts = token.split(".")
    if len(token) > MAX_ASSERTION or len(parts) != 3 or not token.isascii():
        raise ProofFailed(Why.TOKEN_FORM)
    try:
        header = msgspec.json.decode(_decoded(parts[0]), type=_Header)
        claims = msgspec.json.decode(_decoded(parts[1]), type=_Claims)
    except (msgspec.MsgspecError, ValueError, NotBase64, RecursionError):
        raise ProofFailed(Why.TOKEN_FORM) from None
    if header.crit is not None or header.b64 is not None or header.typ.lower() not in ("jwt", "at+jwt"):
        raise ProofFailed(Why.TOKEN_FORM)
    if header.alg not in ALL:
        raise ProofFailed(Why.ALGORITHM)
    if claims.iss != trust.issuer:
        raise ProofFailed(Why.ISSUER)
    if claims.sub != trust.subject:
        raise ProofFailed(Why.SUBJECT)
    if claims.audiences != (audience,):
        raise ProofFailed(Why.AUDIENCE)
    times = (claims.exp, claims.iat, *(() if claims.nbf is None else (claims.nbf,)))
    if not all(map(math.isfinite, times)) or not (
        max(claims.iat, claims.nbf or claims.iat) - LEEWAY_S <= now_s < claims.exp + LEEWAY_S
        and now_s <= claims.iat + MAX_AGE_S
        and claims.iat < claims.exp
    ):
        raise ProofFailed(Why.DATES)
    return Assertion(
        algorithm=header.alg,
        kid=header.kid,
        ends_at_s=min(claims.exp + LEEWAY_S, claims.iat + MAX_AGE_S),
        token=token,
    )


def check_signature(assertion: Assertion, public: PublicKey) -> None:
    """This key signed it, by the algorithm that the token names and the key is for.

    Raises:
        ProofFailed: it did not.
    """
    try:
        jws.deserialize_compact(assertion.token, public.key, registry=_REGISTRY)
    except (JoseError, ValueError, TypeError):
        raise ProofFailed(Why.SIGNATURE) from None


def _decoded(part: str) -> bytes:
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))
