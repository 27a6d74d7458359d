"""What a token says, before and after its signature is checked; every hostile form of it."""

from __future__ import annotations

import msgspec
import pytest
from joserfc.jwk import Key

from openkcm.crypto.callers.assertion import Assertion, check_signature, read_assertion
from openkcm.crypto.callers.key_set import PublicKey, chosen, read_keys
from openkcm.crypto.callers.proof import ProofFailed, Why
from openkcm.crypto.trust import IssuerTrust
from tests.crypto.callers.issuer import b64, coded, ec_key, rsa_key, signed, unsigned

ISSUER, AUDIENCE, NOW = "https://issuer.example", "openkcm:local:acme", 1_800_000_000.0
TRUST = IssuerTrust(issuer=ISSUER, subject="backend")
KEY = ec_key()


def said(**changes: object) -> dict[str, object]:
    good = {"iss": ISSUER, "sub": "backend", "aud": AUDIENCE, "iat": NOW, "exp": NOW + 600}
    return {name: value for name, value in (good | changes).items() if value is not None}


def read(token: str) -> Assertion:
    return read_assertion(token, TRUST, audience=AUDIENCE, now_s=NOW)


def public(*keys: Key) -> tuple[PublicKey, ...]:
    return read_keys(msgspec.json.encode({"keys": [key.as_dict(private=False) for key in keys]}))


def test_a_good_token_is_read_and_its_signature_holds() -> None:
    assertion = read(signed(KEY, said()))
    key = chosen(public(KEY), kid=assertion.kid, algorithm=assertion.algorithm)
    assert key is not None
    check_signature(assertion, key)
    assert assertion.ends_at_s == NOW + 660


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": NOW - 59},
        {"nbf": NOW + 60},
        {"iat": NOW + 60},
        {"iat": NOW - 86_400, "exp": NOW + 1},
        {"aud": [AUDIENCE]},
    ],
)
def test_clocks_may_be_a_minute_apart(changes: dict[str, object]) -> None:
    changes = {"iat": NOW - 600} | changes
    read(signed(KEY, said(**changes)))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"exp": NOW - 60, "iat": NOW - 600}, Why.DATES),
        ({"nbf": NOW + 61}, Why.DATES),
        ({"iat": NOW + 61}, Why.DATES),
        ({"iat": NOW - 86_401}, Why.DATES),
        ({"exp": NOW - 10, "iat": NOW}, Why.DATES),
        ({"iss": ISSUER + "/"}, Why.ISSUER),
        ({"iss": ISSUER.upper()}, Why.ISSUER),
        ({"sub": "backend "}, Why.SUBJECT),
        ({"aud": "openkcm:local:blue"}, Why.AUDIENCE),
        ({"aud": [AUDIENCE, "kubernetes"]}, Why.AUDIENCE),
        ({"aud": []}, Why.AUDIENCE),
        ({"aud": None}, Why.TOKEN_FORM),
        ({"exp": None}, Why.TOKEN_FORM),
        ({"iat": None}, Why.TOKEN_FORM),
        ({"exp": "never"}, Why.TOKEN_FORM),
        ({"sub": ["backend"]}, Why.TOKEN_FORM),
    ],
)
def test_a_claim_that_does_not_fit_is_enough(changes: dict[str, object], why: Why) -> None:
    with pytest.raises(ProofFailed) as failed:
        read(signed(KEY, said(**changes)))
    assert failed.value.why is why


@pytest.mark.parametrize("value", ["NaN", "1e999", "-1e999"])
def test_no_end_is_beyond_numbers(value: str) -> None:
    body = b64(f'{{"iss":"{ISSUER}","sub":"backend","aud":"{AUDIENCE}","iat":{NOW},"exp":{value}}}'.encode())
    head = b64(b'{"alg":"ES256"}')
    with pytest.raises(ProofFailed):
        read(f"{head}.{body}.AA")


@pytest.mark.parametrize("header", [{}, {"kid": "one"}, {"alg": "None"}, {"alg": "nONE"}])
def test_a_token_that_nobody_signed_is_refused(header: dict[str, str]) -> None:
    with pytest.raises(ProofFailed) as failed:
        read(unsigned(said(), **header))
    assert failed.value.why is Why.ALGORITHM


def test_a_code_made_with_the_public_key_is_no_signature() -> None:
    with pytest.raises(ProofFailed) as failed:
        read(coded(KEY.as_pem(private=False), said(), kid="one"))
    assert failed.value.why is Why.ALGORITHM


@pytest.mark.parametrize(
    "header", [{"crit": ["exp"]}, {"b64": False, "crit": ["b64"]}, {"typ": "secevent+jwt"}]
)
def test_a_header_that_changes_the_meaning_is_refused(header: dict[str, object]) -> None:
    head = b64(msgspec.json.encode({"alg": "ES256", "kid": "one", **header}))
    _, body, signature = signed(KEY, said()).split(".")
    with pytest.raises(ProofFailed) as failed:
        read(f"{head}.{body}.{signature}")
    assert failed.value.why is Why.TOKEN_FORM


@pytest.mark.parametrize(
    "token", ["", "a.b", "a.b.c.d", "ä.b.c", "." * 2, "x" * 20_000, b64(b"[" * 9000) + ".a.b"]
)
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(ProofFailed) as failed:
        read(token)
    assert failed.value.why is Why.TOKEN_FORM


def test_a_changed_word_or_signature_is_noticed() -> None:
    head, body, signature = signed(KEY, said()).split(".")
    other = signed(KEY, said(exp=NOW + 700)).split(".")[1]
    (key,) = public(KEY)
    for token in (
        f"{head}.{other}.{signature}",
        f"{head}.{body}.",
        f"{head}.{body}.{signature[:-8]}AAAAAAAA",
    ):
        with pytest.raises(ProofFailed) as failed:
            check_signature(read(token), key)
        assert failed.value.why is Why.SIGNATURE


def test_a_key_of_the_same_name_and_another_kind_is_not_taken() -> None:
    both = public(rsa_key("one"), KEY)
    found = chosen(both, kid="one", algorithm="ES256")
    assert found is not None
    check_signature(read(signed(KEY, said())), found)
    assert chosen(public(rsa_key("one")), kid="one", algorithm="ES256") is None


def test_of_two_keys_with_one_name_none_is_taken() -> None:
    assert chosen(public(ec_key("one"), KEY), kid="one", algorithm="ES256") is None


def test_a_token_without_a_key_name_is_for_the_only_key_of_its_algorithm() -> None:
    assert chosen(public(KEY, rsa_key("two")), kid="", algorithm="ES256") is not None
    assert chosen(public(KEY, ec_key("two")), kid="", algorithm="ES256") is None


@pytest.mark.parametrize(
    "change",
    [
        {"use": "enc"},
        {"key_ops": ["sign"]},
        {"alg": "RS256"},
        {"crv": "secp256k1"},
        {"x": "AA"},
        {"kty": "oct", "k": "AAAA"},
        {"kty": 7},
    ],
)
def test_a_key_that_may_not_sign_so_is_left_out_and_the_others_stay(change: dict[str, object]) -> None:
    odd = KEY.as_dict(private=False) | change
    found = read_keys(msgspec.json.encode({"keys": [odd, rsa_key("two").as_dict(private=False)]}))
    assert [key.kid for key in found] == ["two"]


def test_a_key_whose_signatures_would_cost_too_much_or_too_little_is_left_out() -> None:
    good = rsa_key().as_dict(private=False)
    huge = b64(b"\xff" * 2048)
    small = b64(b"\xff" * 128)
    odd = [good | {"n": huge}, good | {"n": small}, good | {"e": b64(b"\xff" * 64)}, good | {"e": "AQ"}]
    assert read_keys(msgspec.json.encode({"keys": odd})) == ()


@pytest.mark.parametrize(
    "document", [b"", b"[]", b'{"keys":{}}', b"[" * 9000, b'{"keys":[' + b"{}," * 32 + b"{}]}"]
)
def test_what_is_no_key_set_is_refused(document: bytes) -> None:
    with pytest.raises(ValueError, match=r"keys|JWKS"):
        read_keys(document)
