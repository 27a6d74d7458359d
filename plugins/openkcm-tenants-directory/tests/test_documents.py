from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from openkcm_tenants_directory.documents import Document, Unparsable, documents_of

if TYPE_CHECKING:
    from collections.abc import Mapping


def yaml_of(text: str | bytes) -> list[Document]:
    return documents_of(text if isinstance(text, bytes) else text.encode(), is_json=False)


def json_of(text: str | bytes) -> list[Document]:
    return documents_of(text if isinstance(text, bytes) else text.encode(), is_json=True)


def test_several_yaml_documents_each_know_their_line() -> None:
    found = yaml_of("# first\na: 1\n---\n\nb: [x, {c: d}]\n---\n")
    assert found == [Document({"a": "1"}, 2), Document({"b": ["x", {"c": "d"}]}, 5)]


def test_several_json_documents_each_know_their_line() -> None:
    assert json_of('{"a": "1"}\n\n{"b": [true, null]}\n') == [
        Document({"a": "1"}, 1),
        Document({"b": [True, None]}, 3),
    ]


def test_plain_scalars_stay_as_they_are_written() -> None:
    text = "a: 1e5\nb: 007\nc: 2026-01-31T12:00:00Z\nd: yes\ne: 0x10\nf: 'null'\ng: \"true\"\n"
    written: Mapping[str, object] = {
        "a": "1e5",
        "b": "007",
        "c": "2026-01-31T12:00:00Z",
        "d": "yes",
        "e": "0x10",
        "f": "null",
        "g": "true",
    }
    assert yaml_of(text)[0].value == written


def test_null_and_booleans_are_what_they_say() -> None:
    assert yaml_of("a:\nb: ~\nc: null\nd: true\ne: False\n")[0].value == {
        "a": None,
        "b": None,
        "c": None,
        "d": True,
        "e": False,
    }


def test_json_in_a_yaml_file_is_yaml() -> None:
    value = {"kind": "Account", "metadata": {"name": "payments", "labels": {}}, "items": []}
    assert yaml_of(json.dumps(value))[0].value == value


@pytest.mark.parametrize(
    ("text", "reason", "line"),
    [
        ("a: 1\nb: [", "not YAML", 3),
        ("a: 1\n\tb: 2", "not YAML", 2),
        ("a: {b: c\n", "not YAML", 2),
        ("a: 1\nb: 2\na: 3\n", "The key 'a' is given twice", 3),
        ("m:\n  x: 1\n  x: 2\n", "The key 'x' is given twice", 3),
        ("a: &x [1]\nb: *x\n", "aliases", 2),
        ("a: &a [*a]\n", "aliases", 1),
        ("<<: {a: 1}\n<<: {b: 1}\n", "given twice", 2),
        ("a: !!python/object/apply:os.system [true]\n", "tags", 1),
        ("a: !secret x\n", "tags", 1),
        ("? [x]\n: y\n", "A key is not text", 1),
        ("[" * 100, "nested too deeply", 1),
        ("a: 1\nb: \x01\n", "not text", 2),
        (b"a: 1\nb: \xff\n", "not text", 2),
        ("a: 1\n...\nb: [\n", "not YAML", 3),
    ],
)
def test_broken_yaml_is_refused_with_its_line(text: str | bytes, reason: str, line: int) -> None:
    with pytest.raises(Unparsable) as refused:
        yaml_of(text)
    assert reason in refused.value.reason
    assert refused.value.line == line


@pytest.mark.parametrize(
    ("text", "reason", "line"),
    [
        ('{"a": 1,\n"b": }', "not JSON", 2),
        ('{"a": 1}\n{"a": 1', "not JSON", 2),
        ('{"a": 1}\n\n{"a": 1, "a": 2}', "The key 'a' is given twice", 3),
        ("[" * 100_000, "nested too deeply", 1),
        (b'{"a": "\xff"}', "not UTF-8", 1),
        ("{} trailing", "not JSON", 1),
        ('{"a": ' + "9" * 5000 + "}", "too long", 1),
    ],
)
def test_broken_json_is_refused_with_its_line(text: str | bytes, reason: str, line: int) -> None:
    with pytest.raises(Unparsable) as refused:
        json_of(text)
    assert reason in refused.value.reason
    assert refused.value.line == line


def test_a_billion_laughs_cost_nothing() -> None:
    layers = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10))
    with pytest.raises(Unparsable, match="aliases"):
        yaml_of("a0: &a0 lol\n" + layers)


@pytest.mark.timeout(20)
def test_a_key_given_twice_is_found_in_one_pass_over_a_whole_file() -> None:
    # A megabyte; a search among all earlier keys for each key takes longer than this test may.
    keys = [f"{number:05x}" for number in range(104_000)]
    text = "{" + ",".join(f'"{key}":0' for key in [*keys, keys[-1]]) + "}"
    with pytest.raises(Unparsable, match=f"'{keys[-1]}' is given twice"):
        json_of(text)
    with pytest.raises(Unparsable, match=f"'k{keys[-1]}' is given twice"):
        yaml_of("".join(f"k{key}: 0\n" for key in [*keys, keys[-1]]))
