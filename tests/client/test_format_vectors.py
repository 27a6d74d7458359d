"""The vectors of ``tests/vectors/message-format``: made by one implementation, read by two others, ours among them."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from openkcm_client import message as message_module
from openkcm_client import stream as stream_module
from openkcm_client import wrapping
from openkcm_client.envelope import SUITE_STREAM, Envelope, parse_envelope
from openkcm_client.errors import BadCiphertext, UnsupportedFormat
from openkcm_client.message import generate_data_key
from openkcm_client.rewrap import rewrap_envelope
from openkcm_client.stream import generate_stream_key
from tests.client.opening import cut, open_message, open_stream, open_stream_async
from tests.vectors import reader, streams
from tests.vectors.case import FOLDER, data_of, load, plaintext_fits
from tests.vectors.generate import cases

READER = Path(reader.__file__)
VECTORS = load()
OPENS = [vector for vector in VECTORS if vector["expect"] == "opens"]
REFUSED = [vector for vector in VECTORS if vector["expect"] == "refused"]
BASE = b"".join(streams.TWO) + streams.END
each_that_opens = pytest.mark.parametrize("vector", OPENS, ids=lambda vector: vector["name"])
each_refused = pytest.mark.parametrize("vector", REFUSED, ids=lambda vector: vector["name"])
Vector = dict[str, Any]


def names(vector: Vector) -> tuple[bytes, str, str]:
    return bytes.fromhex(vector["l3"]), vector["tenant"], vector["service"]


def is_stream(data: bytes) -> bool:
    return data[6:8] == SUITE_STREAM.to_bytes(2, "big")


def refused(vector: Vector) -> set[str]:
    """What the library says at both of its doors, of which neither may give out a byte that was not encrypted."""
    data, aad = data_of(vector)
    said: set[str] = set()
    released: list[bytes] = []
    with pytest.raises(BadCiphertext) as error:
        open_message(*names(vector), aad, data)
    said.add(str(error.value))
    with pytest.raises(BadCiphertext) as error:
        released.extend(open_stream(*names(vector), aad, [data]))
    said.add(str(error.value))
    assert BASE.startswith(b"".join(released))
    assert len(b"".join(released)) < len(BASE)
    return said


def test_the_files_are_what_the_reference_writes() -> None:
    """After a change of the cases: ``python -m tests.vectors.generate``."""
    made = cases()
    assert [name for name, count in Counter(case.path.name for case in made).items() if count > 1] == []
    assert {path.name: path.read_text() for path in FOLDER.iterdir()} == {
        c.path.name: c.written() for c in made
    }


def test_the_vectors_cover_what_the_page_promises() -> None:
    sizes = {(is_stream(data_of(vector)[0]), vector["plaintext"]["bytes"]) for vector in OPENS}
    assert sizes >= {(False, 0), (False, 1), (False, 2**16)}
    assert sizes >= {(True, n) for n in (0, 1, 2**20 - 1, 2**20, 2**20 + 1, 2**21, 2**21 + 7, 3 * 2**20)}
    assert len(OPENS) >= 25
    assert len(REFUSED) >= 140


@each_that_opens
def test_a_vector_opens_at_its_own_door_alone(vector: Vector) -> None:
    data, aad = data_of(vector)
    whole = open_message(*names(vector), aad, data) if not is_stream(data) else None
    if whole is None:
        whole = b"".join(open_stream(*names(vector), aad, [data]))
        with pytest.raises(UnsupportedFormat):
            open_message(*names(vector), aad, data)
    else:
        with pytest.raises(UnsupportedFormat):
            list(open_stream(*names(vector), aad, [data]))
    assert plaintext_fits(vector, whole)


@each_that_opens
async def test_however_a_stream_is_cut_into_pieces_the_plaintext_is_the_same(vector: Vector) -> None:
    data, aad = data_of(vector)
    if not is_stream(data):
        return
    for size in (65_537, 160, 2**20 + 16) if len(data) < 2**21 else (65_537, 2**20 + 16):
        assert plaintext_fits(vector, b"".join(open_stream(*names(vector), aad, cut(data, size))))
    read = [part async for part in open_stream_async(*names(vector), aad, cut(data, 99_991))]
    assert plaintext_fits(vector, b"".join(read))


@each_refused
def test_a_bad_vector_is_refused_at_every_door_and_no_wrong_byte_comes_out(vector: Vector) -> None:
    assert refused(vector) == {str(BadCiphertext())}


@each_that_opens
def test_the_independent_reader_opens_it(vector: Vector) -> None:
    assert plaintext_fits(vector, reader.answer(vector))


@each_refused
def test_the_independent_reader_refuses_it(vector: Vector) -> None:
    with pytest.raises(reader.Refused):
        reader.answer(vector)


@each_that_opens
def test_encrypting_with_the_vectors_randomness_gives_its_bytes(
    vector: Vector, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, aad = data_of(vector)
    made = {name: bytes.fromhex(value) for name, value in vector["made_with"].items()}
    monkeypatch.setattr(wrapping, "urandom", {24: made["wrap_nonce"], 32: made["l4"]}.get)
    monkeypatch.setattr(message_module, "draw", {12: made.get("nonce")}.get)
    monkeypatch.setattr(stream_module, "urandom", {32: made.get("salt")}.get)
    plaintext = reader.answer(vector)
    l3, tenant, service = names(vector)
    if is_stream(data):
        key = generate_stream_key(l3, data[8:24], tenant, service)
        assert b"".join(key.encrypt(cut(plaintext, 77_777), aad)) == data
    else:
        assert generate_data_key(l3, data[8:24], tenant, service).encrypt(plaintext, aad) == data


@pytest.mark.parametrize("name", ["message: a short text", "stream: two segments and seven bytes"])
def test_a_rewrapped_vector_differs_from_the_first_in_96_bytes_alone(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_name = {vector["name"]: vector for vector in OPENS}
    old, new = by_name[name], by_name[f"{name}, re-wrapped"]
    before, after = data_of(old)[0], data_of(new)[0]
    assert before[96:] == after[96:]
    assert before[:8] == after[:8]
    assert all(before[a:b] != after[a:b] for a, b in ((8, 24), (24, 48), (48, 80), (80, 96)))
    assert old["plaintext"] == new["plaintext"]
    monkeypatch.setattr(wrapping, "urandom", {24: bytes.fromhex(new["made_with"]["wrap_nonce"])}.get)
    l3, tenant, service = names(old)
    moved: Envelope = rewrap_envelope(
        l3, bytes.fromhex(new["l3"]), after[8:24], parse_envelope(before[:128]), tenant, service
    )
    assert moved.to_bytes() + before[128:] == after


def test_the_reader_is_short_and_imports_nothing_of_ours() -> None:
    source = READER.read_text()
    assert len(source.splitlines()) <= 80
    roots = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            roots |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            roots.add((node.module or "").split(".")[0])
        assert not (isinstance(node, ast.Name) and node.id in {"__import__", "exec", "eval"})
    assert "importlib" not in roots
    assert roots - set(sys.stdlib_module_names) == {"cryptography"}


def test_the_reader_runs_by_itself(tmp_path: Path) -> None:
    """Copied away from the repository, as somebody would who has nothing else."""
    alone = tmp_path / "reader.py"
    alone.write_bytes(READER.read_bytes())
    chosen = [OPENS[0], REFUSED[0]]
    files = [next(p for p in FOLDER.iterdir() if f'"{v["name"]}"' in p.read_text()) for v in chosen]
    command = [sys.executable, "-I", str(alone), *map(str, files)]
    lines = subprocess.run(
        command, capture_output=True, check=True, cwd=tmp_path, text=True
    ).stdout.splitlines()
    expected = chosen[0]["plaintext"]
    assert lines == [f"{files[0]} {expected['bytes']} {expected['sha256']}", f"{files[1]} refused"]
