"""What one file says, and how much of what is wrong with it is kept."""

from __future__ import annotations

import json

import pytest

from openkcm.sdk.refusals import Refusal
from openkcm_tenants_directory import manifests
from openkcm_tenants_directory.documents import MAX_DOCUMENTS, documents_of
from openkcm_tenants_directory.manifests import MAX_PROBLEMS_OF_FILE, Contents, contents_of


def said_by(text: str, name: str = "a.yaml") -> Contents:
    return contents_of(text.encode(), file_name=name, issuer="")


def account(name: str = "a", **metadata: str) -> dict[str, object]:
    return {
        "apiVersion": "core.platform-mesh.io/v1alpha1",
        "kind": "Account",
        "metadata": {"name": name, "uid": f"uid-{name}", **metadata},
    }


@pytest.mark.parametrize("kind", [[], {}, ["List"], 1, True, None])
@pytest.mark.parametrize("name", ["a.yaml", "a.json"])
def test_a_kind_that_is_no_text_is_refused(kind: object, name: str) -> None:
    said = said_by(json.dumps({"kind": kind, "items": [account()]}), name)
    assert [each.refusal for each in said.problems] == [Refusal.MANIFEST_INVALID]
    assert not said.observations


@pytest.mark.parametrize(
    "when", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "soon", "2026-13-01T00:00:00Z"]
)
def test_a_moment_outside_of_all_calendars_is_refused_and_deletes_nothing(when: str) -> None:
    said = said_by(json.dumps(account(deletionTimestamp=when)))
    assert [each.refusal for each in said.problems] == [Refusal.MANIFEST_INVALID]
    assert "Nothing was deleted" in said.problems[0].message


def test_as_many_documents_as_the_limit_are_used() -> None:
    listed = {"kind": "List", "items": [account(f"n{number}") for number in range(MAX_DOCUMENTS)]}
    assert len(said_by(json.dumps(listed), "a.json").observations) == MAX_DOCUMENTS


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.json", json.dumps({"kind": "List", "items": [1] * (MAX_DOCUMENTS + 1)})),
        ("lists.json", json.dumps({"kind": "List", "items": [1] * (MAX_DOCUMENTS // 2 + 1)}) * 2),
        ("many.json", "1 " * (MAX_DOCUMENTS + 1)),
        ("many.yaml", "--- a\n" * (MAX_DOCUMENTS + 1)),
    ],
)
def test_a_document_too_many_refuses_the_file_before_any_is_judged(
    name: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[object] = []
    monkeypatch.setattr(manifests, "identify", judged.append)
    said = said_by(text, name)
    [found] = said.problems
    assert (found.origin, found.refusal) == (name, Refusal.MANIFEST_TOO_LARGE)
    assert "more than 10,000 documents" in found.message
    assert "Split the file" in found.message
    assert not said.observations
    assert not judged


def test_parsing_stops_at_the_document_too_many() -> None:
    # What comes after it is not even YAML, and nobody gets there.
    said = said_by("--- a\n" * (MAX_DOCUMENTS + 1) + "--- [\n")
    assert said.problems[0].refusal is Refusal.MANIFEST_TOO_LARGE
    assert len(documents_of(b"--- a\n" * MAX_DOCUMENTS, is_json=False)) == MAX_DOCUMENTS


def test_a_file_lists_some_of_its_problems_and_counts_the_others() -> None:
    items: list[object] = [1] * 5000
    items[2500] = account("good")
    said = said_by(json.dumps({"kind": "List", "items": items}), "a.json")
    assert len(said.problems) == MAX_PROBLEMS_OF_FILE + 1
    assert said.problems[0].origin == "a.json, document 1.1"
    last = said.problems[-1]
    assert (last.origin, last.refusal) == ("a.json", Refusal.TOO_MANY)
    assert last.message.startswith(f"{5000 - 1 - MAX_PROBLEMS_OF_FILE:,} more")
    assert [each.name for each in said.observations] == ["good"]
