"""The client's README is a program that runs, and its table of errors is the errors."""

from __future__ import annotations

import os
import re
import runpy
from pathlib import Path

import pytest

from openkcm_client import errors
from openkcm_client.envelope import parse
from openkcm_client.errors import BadCiphertext, FormatError
from openkcm_client.message import unwrap
from openkcm_client.stream import decrypt_stream, unwrap_stream

README = (Path(__file__).parents[2] / "clients" / "openkcm-client" / "README.md").read_text()


def test_the_snippets_run_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    backup = os.urandom(2**21 + 12_345)
    Path("backup.tar").write_bytes(backup)
    snippets = re.findall(r"^```python\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
    assert len(snippets) == 3
    Path("readme.py").write_text("\n".join(snippets))
    after = runpy.run_path("readme.py")
    assert Path("restored.tar").read_bytes() == backup
    assert not Path("restored.part").exists()

    names = (after["new_l3"], "acme", "default")  # what the last snippet leaves opens under the new key alone
    key = unwrap(names[0], parse(after["message"]), *names[1:])
    assert key.decrypt(after["message"], b"row 17") == b"4111 1111 1111 1111"
    with Path("backup.okcm").open("rb") as source:
        read = decrypt_stream(
            source, lambda head: unwrap_stream(names[0], head, *names[1:]), b"backup of 2026-11-27"
        )
        assert b"".join(read) == backup
    with Path("backup.okcm").open("rb") as source, pytest.raises(BadCiphertext):
        list(decrypt_stream(source, after["find"], b"backup of 2026-11-27"))


def test_every_error_is_in_the_readme() -> None:
    named = re.findall(r"^\| `(\w+)` \|", README, flags=re.MULTILINE)
    kinds = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, FormatError)
    ]
    assert sorted(named) == sorted(kind.__name__ for kind in kinds if kind is not FormatError)
