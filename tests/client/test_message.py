"""Data keys: what they promise beyond the bytes."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openkcm_client import message as module
from openkcm_client.envelope import OVERHEAD_BYTES, Envelope, parse, parse_envelope
from openkcm_client.errors import (
    BadCiphertext,
    BadName,
    DataKeyUsedUp,
    DecryptOnly,
    MessageTooLong,
    UnsupportedFormat,
)
from openkcm_client.message import DataKey, generate_data_key, unwrap
from openkcm_client.rewrap import rewrap, rewrap_envelope
from openkcm_client.xaes import XAES256GCM

L3, NEW_L3 = b"\x01" * 32, b"\x02" * 32
ID, NEW_ID = b"\x0a" * 16, b"\x0b" * 16
NAMES = st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True)


def fresh(max_messages: int = 100) -> DataKey:
    return generate_data_key(L3, ID, "acme", "default", max_messages=max_messages)


@given(st.binary(max_size=300), st.binary(max_size=50), NAMES, NAMES)
def test_what_was_encrypted_opens_with_the_same_names_and_aad(
    plaintext: bytes, aad: bytes, tenant: str, service: str
) -> None:
    key = generate_data_key(XAES256GCM(L3), ID, tenant, service)
    message = key.encrypt(plaintext, aad)
    assert len(message) == len(plaintext) + OVERHEAD_BYTES == len(plaintext) + 156
    assert key.decrypt(message, aad) == plaintext
    assert unwrap(L3, parse(message), tenant, service).decrypt(message, aad) == plaintext


@given(st.data())
def test_a_message_changed_anywhere_does_not_open(data: st.DataObject) -> None:
    message = fresh().encrypt(b"some text", b"aad")
    at = data.draw(st.integers(0, len(message) * 8 - 1))
    changed = bytearray(message)
    changed[at // 8] ^= 1 << at % 8
    with pytest.raises(UnsupportedFormat if at // 8 < 8 else BadCiphertext):
        unwrap(L3, parse(bytes(changed)), "acme", "default").decrypt(bytes(changed), b"aad")


@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_refused_and_nothing_else_happens(garbage: bytes) -> None:
    with pytest.raises((BadCiphertext, UnsupportedFormat)):
        unwrap(L3, parse(garbage), "acme", "default")
    with pytest.raises((BadCiphertext, UnsupportedFormat)):
        fresh().decrypt(garbage)


def test_two_messages_of_one_text_share_the_envelope_only() -> None:
    key = fresh()
    one, two = key.encrypt(b"same"), key.encrypt(b"same")
    assert one[:128] == two[:128] == key.envelope.to_bytes()
    assert one[128:140] != two[128:140]
    assert fresh().encrypt(b"same")[24:128] != one[24:128]


def test_an_unwrapped_key_only_decrypts() -> None:
    key = fresh()
    message = key.encrypt(b"text")
    opened = unwrap(L3, key.envelope, "acme", "default")
    assert key.encrypts
    assert not opened.encrypts
    with pytest.raises(DecryptOnly):
        opened.encrypt(b"text")
    assert opened.decrypt(message) == b"text"


def test_a_key_stops_after_its_last_message_and_still_decrypts() -> None:
    key = fresh(max_messages=2)
    messages = [key.encrypt(b"1"), key.encrypt(b"2")]
    for _ in range(2):
        with pytest.raises(DataKeyUsedUp):
            key.encrypt(b"3")
    assert [key.decrypt(message) for message in messages] == [b"1", b"2"]


def test_threads_together_get_no_more_messages_than_the_limit() -> None:
    key = fresh(max_messages=500)

    def attempt(_: int) -> bool:
        try:
            key.encrypt(b"")
        except DataKeyUsedUp:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(1000))) == 500


@pytest.mark.parametrize("max_messages", [0, -1, 2**32 + 1])
def test_a_limit_beyond_what_random_nonces_allow_is_refused(max_messages: int) -> None:
    with pytest.raises(ValueError, match="2\\^32"):
        fresh(max_messages=max_messages)


def test_a_rewrapped_message_opens_under_the_new_l3_alone_with_its_body_untouched() -> None:
    message = fresh().encrypt(b"text", b"aad")
    moved = rewrap(L3, NEW_L3, NEW_ID, message, "acme", "default")
    assert parse(moved).l3_key_id == NEW_ID
    assert moved[96:] == message[96:]
    assert unwrap(NEW_L3, parse(moved), "acme", "default").decrypt(moved, b"aad") == b"text"
    with pytest.raises(BadCiphertext):
        unwrap(L3, parse(moved), "acme", "default")


def test_a_key_does_not_open_a_message_that_names_another_l3() -> None:
    key = fresh()
    message = key.encrypt(b"text")
    moved = rewrap(L3, NEW_L3, NEW_ID, message, "acme", "default")
    relabelled = message[:8] + NEW_ID + message[24:]
    for other in (moved, relabelled):
        with pytest.raises(BadCiphertext):
            key.decrypt(other)
    assert key.decrypt(message) == b"text"


def test_a_stored_envelope_is_rewrapped_without_its_message() -> None:
    message = fresh().encrypt(b"text")
    stored = parse_envelope(message[:128])
    moved = rewrap_envelope(L3, NEW_L3, NEW_ID, stored, "acme", "default")
    again = moved.to_bytes() + message[128:]
    assert unwrap(NEW_L3, moved, "acme", "default").decrypt(again) == b"text"


@pytest.mark.parametrize(("tenant", "service"), [("acmf", "default"), ("acme", "other"), ("acmed", "efault")])
def test_another_tenant_or_service_neither_opens_nor_rewraps(tenant: str, service: str) -> None:
    message = fresh().encrypt(b"text")
    with pytest.raises(BadCiphertext):
        unwrap(L3, parse(message), tenant, service)
    with pytest.raises(BadCiphertext):
        rewrap(L3, NEW_L3, NEW_ID, message, tenant, service)


def test_a_wrap_with_another_commitment_is_not_rewrapped() -> None:
    one, two = fresh().envelope, fresh().envelope
    mixed = Envelope(l3_key_id=one.l3_key_id, wrapped=one.wrapped, commitment=two.commitment)
    with pytest.raises(BadCiphertext):
        rewrap_envelope(L3, NEW_L3, NEW_ID, mixed, "acme", "default")


@pytest.mark.parametrize("name", ["", "-a", "A", "a" * 64, "a_b", "a.b", "ü", "a\n", " a", "a/b"])
def test_a_name_of_another_form_is_refused_at_the_edge(name: str) -> None:
    envelope = fresh().envelope
    for tenant, service in ((name, "default"), ("acme", name)):
        with pytest.raises(BadName):
            generate_data_key(L3, ID, tenant, service)
        with pytest.raises(BadName):
            unwrap(L3, envelope, tenant, service)


def test_bad_ciphertexts_all_read_the_same() -> None:
    key = fresh()
    message = key.encrypt(b"text", b"aad")
    said = set()
    for bad, aad in ((message, b""), (message[:-1], b"aad"), (message[:20], b"aad"), (message + b"x", b"aad"),
                     (fresh().encrypt(b"text", b"aad"), b"aad")):  # fmt: skip
        with pytest.raises(BadCiphertext) as refused:
            key.decrypt(bad, aad)
        said.add(str(refused.value))
    assert len(said) == 1


def test_what_is_longer_than_a_whole_message_may_be_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    key = fresh()
    message = key.encrypt(b"12345678")
    monkeypatch.setattr(module, "MAX_PLAINTEXT_BYTES", 7)
    with pytest.raises(MessageTooLong):
        fresh().encrypt(b"12345678")
    with pytest.raises(BadCiphertext):
        key.decrypt(message)
    with pytest.raises(MessageTooLong):
        key.encrypt(b"", bytes(2**20 + 1))
    assert key.decrypt(key.encrypt(b"1234567")) == b"1234567"


@pytest.mark.parametrize("length", [0, 127, 129])
def test_an_envelope_of_another_length_is_refused(length: int) -> None:
    raw = fresh().envelope.to_bytes() + b"\0"
    with pytest.raises(BadCiphertext):
        parse_envelope(raw[:length])


def test_parts_of_another_length_make_no_envelope() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        Envelope(l3_key_id=b"x" * 15, wrapped=bytes(72), commitment=bytes(32))
    with pytest.raises(ValueError, match="16 bytes"):
        generate_data_key(L3, b"x" * 17, "acme", "default")
    with pytest.raises(ValueError, match="32 bytes"):
        generate_data_key(b"short", ID, "acme", "default")


def test_a_key_is_not_copied_pickled_or_shown() -> None:
    key = fresh()
    assert repr(key) == "DataKey(tenant='acme', service='default', l3=0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a)"
    for leak in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="not copied or pickled"):
            leak(key)
