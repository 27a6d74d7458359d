"""The client's messages are the data door's: written down twice, since it imports none of the product."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from openkcm.crypto.data import wire as theirs
from openkcm.serving.problem import Problem
from openkcm_client import wire as ours
from openkcm_client.credentials import ALL_VERBS
from openkcm_client.tokens import LIFETIME_S

ASKED: dict[str, dict[str, Any]] = {
    "EncryptItem": {"plaintext": b"x", "aad": b"y"},
    "DecryptItem": {"message": b"x", "aad": b"y"},
    "RewrapItem": {"envelope": b"x"},
    "DataKeyItem": {"suite": "stream"},
    "OpenItem": {"envelope": b"x"},
    "LeaseItem": {"key_id": "0a" * 16, "use": "decrypt"},
    "TokenRequest": {
        "tenant": "acme",
        "service": "default",
        "caller": "shop",
        "verbs": ALL_VERBS,
        "assertion": "proof",
        "lifetime_s": LIFETIME_S - 1,
    },
}
ANSWERED: dict[str, dict[str, Any]] = {
    "Encrypted": {"message": b"x"},
    "Decrypted": {"plaintext": b"x"},
    "Rewrapped": {"envelope": b"x", "key_id": "0a" * 16},
    "LeasedKey": {"key": b"x", "envelope": b"y", "key_id": "0a" * 16, "lease_s": 2.5},
    "Lease": {"lease_s": 2.5},
    "TokenAnswer": {"token": "t", "expires_at_s": 5, "region": "local"},
}


def fields(struct: Any) -> dict[str, Any]:  # noqa: ANN401 - any message
    return {name: getattr(struct, name) for name in struct.__struct_fields__}


@pytest.mark.parametrize("name", ASKED)
def test_what_is_asked_is_understood(name: str) -> None:
    sent = msgspec.json.encode(getattr(ours, name)(**ASKED[name]))
    assert fields(msgspec.json.decode(sent, type=getattr(theirs, name))) == ASKED[name]


@pytest.mark.parametrize("name", ANSWERED)
def test_what_is_answered_is_understood(name: str) -> None:
    sent = msgspec.json.encode(getattr(theirs, name)(**ANSWERED[name]))
    assert fields(msgspec.json.decode(sent, type=getattr(ours, name))) == ANSWERED[name]


def test_a_refusal_is_understood_alone_and_in_a_batch() -> None:
    said = Problem(
        type="urn:x",
        title="t",
        status=403,
        code="key-revoked",
        detail="d",
        action="a",
        who="w",
        reference="r",
        retry_after_s=2.0,
    )
    heard = msgspec.json.decode(msgspec.json.encode(said), type=ours.Problem)
    assert {name: getattr(said, name) for name in ours.Problem.__struct_fields__} == fields(heard)
    batch = theirs.BatchAnswer[theirs.Lease](
        items=(theirs.Result(refusal=said), theirs.Result(done=theirs.Lease(lease_s=1.0)))
    )
    one, two = msgspec.json.decode(msgspec.json.encode(batch), type=ours.BatchAnswer[ours.Lease]).items
    assert (one.refusal, one.done) == (heard, None)
    assert (two.refusal, two.done) == (None, ours.Lease(lease_s=1.0))


def test_a_batch_is_no_longer_than_a_region_takes() -> None:
    assert ours.MAX_ITEMS == theirs.MAX_ITEMS


@pytest.mark.parametrize(
    ("name", "field", "secret"),
    [
        ("LeasedKey", "key", b"s3cret"),
        ("TokenRequest", "assertion", "s3cret"),
        ("TokenAnswer", "token", "s3cret"),
    ],
)
def test_what_is_secret_in_a_message_is_not_printed(name: str, field: str, secret: object) -> None:
    assert "s3cret" not in repr(getattr(ours, name)(**({**ASKED, **ANSWERED}[name] | {field: secret})))
