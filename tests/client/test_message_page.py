"""``docs/reference/message-format.md`` shows what is so."""

import re
from pathlib import Path

from openkcm_client import envelope, message
from openkcm_client.enc import enc

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "message-format.md").read_text()
FIRST = (ROOT / "tests" / "vectors" / "message.txt").read_text().split("\n\n")[1]


def test_the_pages_worked_example_is_the_first_vector() -> None:
    example = PAGE.split("## Worked example")[1].split("```")[1].strip()
    shown = "".join(line.split()[-1] for line in example.splitlines())
    assert f"message: {shown}" in FIRST.splitlines()


def test_the_pages_example_of_enc_is_right() -> None:
    shown = re.search(r'enc\("L4", "acme", 1\) = ([0-9a-f ]+)', PAGE)
    assert shown is not None
    assert enc("L4", "acme", 1) == bytes.fromhex(shown[1])


def test_the_pages_table_of_fields_has_no_gap_and_the_codes_lengths() -> None:
    rows = re.findall(r"^\| (\d+)(?: \+ n)? \| (\d+|n) \|", PAGE, flags=re.MULTILINE)
    at = 0
    for offset, length in rows:
        assert int(offset) == at
        at += 0 if length == "n" else int(length)
    assert at == envelope.OVERHEAD_BYTES == 156
    assert "| 128 | 12 | nonce |" in PAGE
    assert envelope.ENVELOPE_BYTES == 128


def test_the_page_gives_the_codes_limits() -> None:
    assert message.MAX_MESSAGES == 2**32
    assert "at most 2^32 messages" in PAGE
    assert message.MAX_PLAINTEXT_BYTES == 2**30
    assert "at most 2^30 bytes" in PAGE
    assert message.MAX_AAD_BYTES == 2**20
    assert "at most 2^20 bytes" in PAGE
