"""The first vectors of the message format, which every later version opens: ``tests/vectors/message.txt``.

A test proves that the reference (``tests/vectors/writer.py``) still gives those bytes, others that the product agrees.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from openkcm_client import message as product
from openkcm_client import wrapping
from openkcm_client.envelope import parse
from openkcm_client.errors import BadCiphertext, UnsupportedFormat
from openkcm_client.message import generate_data_key, unwrap
from tests.vectors import reader, writer
from tests.vectors.writer import Inputs, message

FILE = Path(__file__).parents[1] / "vectors" / "message.txt"
HEADER = (
    "# OpenKCM message format 1, suite 1: docs/reference/message-format.md. Values are hex, names are text.\n"
)
Vector = dict[str, str]


def reference(given: Vector, *, commit_to: bytes | None = None) -> bytes:
    l3, key_id, l4, wrap_nonce, nonce, aad, plaintext = (
        bytes.fromhex(given[name])
        for name in ("l3", "l3-key-id", "l4", "wrap-nonce", "nonce", "aad", "plaintext")
    )
    inputs = Inputs(
        suite=1,
        tenant=given["tenant"],
        service=given["service"],
        l3=l3,
        l3_key_id=key_id,
        l4=l4,
        wrap_nonce=wrap_nonce,
        random=nonce,
        aad=aad,
    )
    return message(inputs, plaintext, commit_to=commit_to)


def fixed(label: str, length: int) -> str:
    return writer.fixed(label, length).hex()


def vectors() -> Iterator[Vector]:
    given = {
        "name": "a short text",
        "expect": "ok",
        "tenant": "acme",
        "service": "default",
        "l3": fixed("l3", 32),
        "l3-key-id": fixed("l3 key id", 16),
        "l4": fixed("l4", 32),
        "wrap-nonce": fixed("wrap nonce", 24),
        "nonce": fixed("nonce", 12),
        "aad": b"row 17".hex(),
        "plaintext": b"Hello, OpenKCM".hex(),
    }
    whole = reference(given)

    def another(name: str, expect: str = "bad-ciphertext", message: bytes = whole, **other: str) -> Vector:
        changed = {key.replace("_", "-"): value for key, value in other.items()}
        return {**given, "name": name, "expect": expect, **changed, "message": message.hex()}

    def flipped(at: int, bit: int = 1) -> bytes:
        return whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :]

    yield {**given, "message": whole.hex()}
    for name, change in {
        "nothing in it": {"aad": "", "plaintext": ""},
        "longest names": {"tenant": "a" * 63, "service": "0" + "-" * 62, "aad": ""},
        "1000 bytes": {"plaintext": fixed("plaintext", 1000), "nonce": fixed("another nonce", 12)},
    }.items():
        yield {**given, "name": name, **change, "message": reference({**given, **change}).hex()}
    yield another("another magic", "unsupported-format", b"OKCN" + whole[4:])
    yield another("format 0", "unsupported-format", whole[:4] + b"\0\0" + whole[6:])
    yield another("format 2", "unsupported-format", whole[:4] + b"\0\x02" + whole[6:])
    yield another("suite 0", "unsupported-format", whole[:6] + b"\0\0" + whole[8:])
    yield another("suite 2, reserved for streams", "unsupported-format", whole[:6] + b"\0\x02" + whole[8:])
    yield another("suite 257", "unsupported-format", whole[:6] + b"\x01\x01" + whole[8:])
    for field, first, last in (
        ("L3 key id", 8, 23),
        ("wrap nonce, first half", 24, 35),
        ("wrap nonce, second half", 36, 47),
        ("wrapped key", 48, 79),
        ("wrap tag", 80, 95),
        ("commitment", 96, 127),
        ("nonce", 128, 139),
        ("ciphertext", 140, 153),
        ("tag", 154, 169),
    ):
        yield another(f"{field}: lowest bit of its first byte flipped", message=flipped(first))
        yield another(f"{field}: highest bit of its last byte flipped", message=flipped(last, 0x80))
    yield another("another L3", l3=fixed("another l3", 32))
    yield another("another tenant", tenant="acmf")
    yield another("another service", service="default0")
    yield another("tenant and service with the border moved", tenant="acmed", service="efault")
    yield another("another aad", aad=b"row 18".hex())
    yield another("no aad", aad="")
    for length in (0, 3, 8, 127, 128, 140, 155, len(whole) - 1):
        yield another(f"cut to {length} bytes", message=whole[:length])
    yield another("one byte more", message=whole + b"\0")
    yield another("key-commitment attack: wraps one key, commits to another",
                  message=reference(given, commit_to=bytes.fromhex(fixed("another l4", 32))))  # fmt: skip


def written(all_vectors: Iterator[Vector]) -> str:
    stanzas = ("".join(f"{key}: {value}".rstrip() + "\n" for key, value in v.items()) for v in all_vectors)
    return HEADER + "\n" + "\n".join(stanzas)


def read() -> list[Vector]:
    stanzas = FILE.read_text().split("\n\n")[1:]
    return [{k: v.strip() for k, _, v in (line.partition(":") for line in s.splitlines())} for s in stanzas]


def opened(vector: Vector) -> bytes:
    envelope = parse(bytes.fromhex(vector["message"]))
    key = unwrap(bytes.fromhex(vector["l3"]), envelope, vector["tenant"], vector["service"])
    return key.decrypt(bytes.fromhex(vector["message"]), bytes.fromhex(vector["aad"]))


def test_the_reference_gives_the_bytes_on_file() -> None:
    assert FILE.read_text() == written(vectors())


@pytest.mark.parametrize("vector", read(), ids=lambda vector: vector["name"])
def test_a_vector_is_answered_as_it_expects(vector: Vector) -> None:
    refusals = {"bad-ciphertext": BadCiphertext, "unsupported-format": UnsupportedFormat}
    if vector["expect"] == "ok":
        assert opened(vector).hex() == vector["plaintext"]
        assert parse(bytes.fromhex(vector["message"])).l3_key_id.hex() == vector["l3-key-id"]
    else:
        with pytest.raises(refusals[vector["expect"]]):
            opened(vector)


@pytest.mark.parametrize(
    "vector", [v for v in read() if v["expect"] == "ok"], ids=lambda vector: vector["name"]
)
def test_encrypting_with_the_vectors_randomness_gives_its_bytes(
    vector: Vector, monkeypatch: pytest.MonkeyPatch
) -> None:
    l4, wrap_nonce, nonce = (bytes.fromhex(vector[name]) for name in ("l4", "wrap-nonce", "nonce"))
    monkeypatch.setattr(product, "draw", {12: nonce}.get)
    monkeypatch.setattr(wrapping, "urandom", {24: wrap_nonce, 32: l4}.get)
    key = generate_data_key(
        bytes.fromhex(vector["l3"]), bytes.fromhex(vector["l3-key-id"]), vector["tenant"], vector["service"]
    )
    made = key.encrypt(bytes.fromhex(vector["plaintext"]), bytes.fromhex(vector["aad"]))
    assert made.hex() == vector["message"]


@pytest.mark.parametrize("vector", read(), ids=lambda vector: vector["name"])
def test_the_independent_reader_answers_the_same(vector: Vector) -> None:
    l3, aad, data = (bytes.fromhex(vector[name]) for name in ("l3", "aad", "message"))
    given = (l3, vector["tenant"].encode(), vector["service"].encode(), aad, data)
    if vector["expect"] == "ok":
        assert reader.opened(*given).hex() == vector["plaintext"]
    else:
        with pytest.raises(reader.Refused):
            reader.opened(*given)
