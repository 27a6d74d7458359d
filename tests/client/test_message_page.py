"""``docs/reference/message-format.md`` shows what is so: read as a program, it opens its own examples."""

from __future__ import annotations

import re
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from openkcm_client import envelope, message, segments, stream
from openkcm_client.enc import enc
from openkcm_client.names import check_name
from openkcm_client.xaes import XAES256GCM
from tests.vectors import reader
from tests.vectors.case import MESSAGE, STREAM, data_of, load
from tests.vectors.writer import Inputs

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "message-format.md").read_text()
FIRST = (ROOT / "tests" / "vectors" / "message.txt").read_text().split("\n\n")[1]


def section(heading: str) -> str:
    return PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def rows(heading: str) -> list[list[str]]:
    """The cells of a section's tables, without their headings."""
    lines = [line for line in section(heading).splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [
        row for row, after in zip(cells, [*cells[1:], [""]], strict=True) if not {row[0], after[0]} & {"---"}
    ]


def layout(heading: str) -> list[tuple[str, str, str]]:
    """Offset, length and field, of the tables that have a column of values too."""
    return [(row[0], row[1], row[2]) for row in rows(heading) if len(row) == 4]


def blocks(heading: str) -> list[dict[str, str]]:
    """The code blocks of a section: a name and a value on each line."""
    found = section(heading).split("```")[1::2]
    return [dict(line.rsplit(maxsplit=1) for line in block.strip().splitlines()) for block in found]


def encoded(call: str, **values: str | int | bytes) -> bytes:
    """What an ``enc(…)`` of the page gives with these values."""
    inside = re.fullmatch(r"enc\((.*)\)", call)
    assert inside is not None
    return enc(
        *(n.strip('"') if n.startswith('"') else values[n.replace(" ", "_")] for n in inside[1].split(", "))
    )


def derivations() -> dict[str, str]:
    """The ``enc`` of each row of the page's table of derivations."""
    return {row[0]: row[2].split("`")[1] for row in rows("Derivations")}


def opened_by_the_page(given: Inputs, aad: bytes, data: bytes) -> tuple[dict[str, bytes], bytes]:
    """(what was derived, plaintext) of a message or a stream of one segment, by the formulas that the page prints."""
    use, names = derivations(), {"tenant": given.tenant, "service": given.service}
    key_id, nonce, wrapped, commitment = data[8:24], data[24:48], data[48:96], data[96:128]
    wrap_aad = encoded(use["wrap"], **names, L3_key_id=key_id)
    l4 = XAES256GCM(given.l3).decrypt(nonce, wrapped, wrap_aad)
    info = encoded(use["key ‖ commitment"], suite=given.suite, **names)
    both = HKDF(SHA256(), 64, None, info).derive(l4)
    assert both[32:] == commitment
    fixed: dict[str, str | int | bytes] = {"magic": b"OKCM", "format": 1, "suite": given.suite, **names}
    fixed |= {"commitment": commitment, "caller's_AAD": aad}
    body_aad = encoded(use["body"], **fixed)
    if given.suite == 1:
        plaintext = AESGCM(both[:32]).decrypt(data[128:140], data[140:], body_aad)
        return {"L4": l4, "key": both[:32]}, plaintext
    key = HKDF(SHA256(), 32, data[128:160], encoded(use["stream key"])).derive(both[:32])
    plaintext = AESGCM(key).decrypt(bytes(11) + b"\1", data[160:], body_aad)
    return {"L4": l4, "key": both[:32], "stream key": key, "nonce": bytes(11) + b"\1"}, plaintext


@pytest.mark.parametrize(
    ("at", "given", "name", "text"),
    [
        (0, MESSAGE, "message: a short text", b"Hello, OpenKCM"),
        (2, STREAM, "stream: a short text", b"the end"),
    ],
)
def test_the_pages_examples_are_vectors_and_open_by_the_pages_formulas(
    at: int, given: Inputs, name: str, text: bytes
) -> None:
    shown, made_with = blocks("Worked example")[at : at + 2]
    example = bytes.fromhex("".join(shown.values()))
    vector: dict[str, Any] = next(one for one in load() if one["name"] == name)
    assert data_of(vector) == (example, given.aad)
    derived, plaintext = opened_by_the_page(given, given.aad, example)
    assert plaintext == text == reader.answer(vector)
    assert made_with == {"L3": given.l3.hex(), **{field: value.hex() for field, value in derived.items()}}
    assert given.aad.decode() in section("Worked example")
    assert text.decode() in section("Worked example")


def test_the_pages_message_is_the_first_vector_of_all() -> None:
    assert f"message: {''.join(blocks('Worked example')[0].values())}" in FIRST.splitlines()


def test_the_pages_fields_are_those_of_its_examples_byte_for_byte() -> None:
    shown = blocks("Worked example")[0]
    lengths = [len(value) // 2 for value in shown.values()]
    fields = [*layout("Envelope"), *layout("Message")[1:]]
    assert list(shown) == [field for _, _, field in fields]
    text = len("Hello, OpenKCM")
    assert lengths == [text if length == "n" else int(length) for _, length, _ in fields]
    starts = [0, *accumulate(lengths)]
    offsets = [sum(text if part == "n" else int(part) for part in o.split(" + ")) for o, _, _ in fields]
    assert offsets == starts[:-1]


def test_the_pages_lengths_are_the_codes() -> None:
    assert layout("Message")[0] == ("0", str(envelope.ENVELOPE_BYTES), "envelope")
    assert layout("Message")[1] == ("128", str(envelope.NONCE_BYTES), "nonce")
    assert layout("Message")[3] == ("140 + n", str(envelope.TAG_BYTES), "tag")
    head, salt, body = layout("Stream")[:3]
    assert head == ("0", str(envelope.ENVELOPE_BYTES), "envelope")
    assert salt == (str(envelope.ENVELOPE_BYTES), str(envelope.SALT_BYTES), "salt")
    assert body == (str(envelope.STREAM_HEAD_BYTES), "", "segments")
    number, last = layout("Stream")[-2:]
    assert number == ("0", str(segments.COUNTER_BYTES), "number")
    assert last == (str(segments.COUNTER_BYTES), "1", "last")
    assert f"{envelope.OVERHEAD_BYTES} bytes longer than its plaintext" in PAGE
    assert f"160 + *i* · {segments.SEALED_BYTES}" in PAGE
    assert f"Less than {envelope.OVERHEAD_BYTES} bytes are no message, less than 176 no stream" in PAGE


def test_the_pages_segments_are_the_codes() -> None:
    size, sealed, tag = segments.SEGMENT_BYTES, segments.SEALED_BYTES, envelope.TAG_BYTES
    assert [row for row in rows("Stream") if len(row) == 3] == [
        ["each but the last", f"{size} bytes, 1 MiB", str(sealed)],
        ["the last of several", "1 byte to 1 MiB", f"{tag + 1} to {sealed}"],
        ["the only one", "nothing to 1 MiB", f"{tag} to {sealed}"],
    ]


def test_the_pages_limits_are_the_codes() -> None:
    limits = {what: 2 ** int(most.removeprefix("2^")) for what, most in rows("Limits")}
    assert limits == {
        "plaintext of a message, in bytes": message.MAX_PLAINTEXT_BYTES,
        "plaintext of a segment, in bytes": segments.SEGMENT_BYTES,
        "segments of a stream": segments.MAX_SEGMENTS,
        "associated data, in bytes": message.MAX_AAD_BYTES,
        "messages under one data key": message.MAX_MESSAGES,
        "streams under one stream key": stream.MAX_STREAMS,
    }


def test_the_page_names_the_codes_magic_format_and_suites() -> None:
    header = {field: value for _, _, field, value in rows("Envelope")[:3]}
    assert bytes.fromhex(header["magic"].split("`")[1]) == envelope.MAGIC
    assert header["format"] == str(envelope.FORMAT)
    assert header["suite"] == f"{envelope.SUITE_MESSAGE} for a message, {envelope.SUITE_STREAM} for a stream"
    assert [row[0] for row in rows("Suites")] == ["1", "2", "others"]


def test_the_pages_example_of_enc_is_right() -> None:
    shown = re.search(r'enc\("L4", "acme", 1\) = ([0-9a-f ]+)', PAGE)
    assert shown is not None
    assert enc("L4", "acme", 1) == bytes.fromhex(shown[1])


def test_the_page_describes_every_field_of_the_vectors() -> None:
    described = {name for row in rows("Test vectors") for name in re.findall(r"`(\w+)`", row[0])}
    assert described == {field for vector in load() for field in vector}


def test_the_form_of_names_is_the_pages() -> None:
    assert "1 to 63 characters of `a-z`, `0-9` and `-`, not beginning with `-`" in PAGE
    for name in ("a", "0", "a-", "z" * 63):
        assert check_name(name, what="tenant") == name
