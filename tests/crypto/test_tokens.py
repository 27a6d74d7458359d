"""Tokens: what a region made holds for its time; whatever somebody else made of it does not."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode

import msgspec
import pytest

from openkcm.crypto.rootfile import Root
from openkcm.crypto.tokens import MAX_LIFETIME_S, Grant, TokenMaker
from openkcm.sdk.refusals import Refusal
from tests.crypto.refusing import refused

MAKER = TokenMaker(Root({1: b"r" * 32, 2: b"s" * 32}, region="local"))
NOW = 1_000_000


def made(maker: TokenMaker = MAKER, *, expires_at_s: int = NOW + 60) -> str:
    return maker.make(
        tenant="acme", caller="shop", service="default", verbs=("encrypt",), expires_at_s=expires_at_s
    )


def with_fields(token: str, **changes: object) -> str:
    """The token with other fields and the code that it had."""
    prefix, fields, code = token.split(".")
    grant = msgspec.json.decode(urlsafe_b64decode(fields + "=" * (-len(fields) % 4)), type=Grant)
    other = msgspec.json.encode(msgspec.structs.replace(grant, **changes))
    return f"{prefix}.{urlsafe_b64encode(other).rstrip(b'=').decode()}.{code}"


def test_a_token_says_what_it_was_made_for() -> None:
    assert MAKER.read(made(), now_s=NOW) == Grant(2, "acme", "shop", "default", ("encrypt",), NOW + 60)
    assert with_fields(made()) == made()


@pytest.mark.parametrize(
    "changes",
    [
        {"tenant": "evil"},
        {"caller": "root"},
        {"service": "other"},
        {"verbs": ("encrypt", "decrypt")},
        {"expires_at_s": NOW + 600},
        {"root_version": 1},
        {"root_version": 3},
    ],
)
def test_a_token_with_other_fields_is_refused(changes: dict[str, object]) -> None:
    with refused(Refusal.TOKEN_INVALID):
        MAKER.read(with_fields(made(), **changes), now_s=NOW)


def test_a_token_of_another_root_or_region_is_refused() -> None:
    for root in (Root({2: b"x" * 32}, region="local"), Root({2: b"s" * 32}, region="eu-1")):
        with refused(Refusal.TOKEN_INVALID):
            MAKER.read(made(TokenMaker(root)), now_s=NOW)
    older = TokenMaker(Root({1: b"r" * 32}, region="local"))
    assert MAKER.read(made(older), now_s=NOW).root_version == 1  # until it ends, a version before counts


def test_a_token_holds_for_its_time_alone() -> None:
    token = made()
    assert MAKER.read(token, now_s=NOW + 59.9).tenant == "acme"
    with refused(Refusal.TOKEN_INVALID):
        MAKER.read(token, now_s=NOW + 60)
    with refused(Refusal.TOKEN_INVALID):  # longer than any token may live, whoever made it
        MAKER.read(made(expires_at_s=NOW + MAX_LIFETIME_S + 1), now_s=NOW)


@pytest.mark.parametrize(
    "token", ["", ".", "..", "okcm1..", "okcm1.W10.AAAA", "okcm1.é.é", "x" * 5000, f"okcm1.{'A' * 3000}.AAAA"]
)
def test_what_is_no_token_is_refused(token: str) -> None:
    with refused(Refusal.TOKEN_INVALID):
        MAKER.read(token, now_s=NOW)
