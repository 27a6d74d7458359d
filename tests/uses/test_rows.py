"""Exports as files: both forms hold the same, are read back to the byte, and are no formula to a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openkcm.audit.verify import Recorded
from openkcm.sdk.refusals import Permanent, Refusal
from openkcm.uses.rows import FIELDS, Form, Row, entry_row, head_of, read, recorded_of, written

FORMS: tuple[Form, Form] = ("csv", "jsonl")
TEXT = st.text(st.characters(codec="utf-8"), max_size=30)
ENTRY = Recorded(
    chain="acme/local/p1",
    number=7,
    at=datetime(2026, 11, 24, 13, 31, 7, 42, tzinfo=UTC),
    actor="caller:shop",
    verb="encrypt",
    object="default/00",
    outcome="done",
    detail=b'{"count":12,"since":"2026-11-24T13:31:00.000000Z"}',
    hash=b"\xab" * 32,
)


def file_of(form: Form, *rows: Row) -> str:
    return head_of(form) + "".join(written(row, form) for row in rows)


def back(text: str) -> list[Row]:
    return list(read(io.StringIO(text, newline="")))


def test_the_lines_are_as_the_page_has_them() -> None:
    assert file_of("csv", entry_row(ENTRY)) == (
        "kind,chain,number,at,actor,verb,object,outcome,count,detail,hash\r\n"
        "entry,acme/local/p1,7,2026-11-24T13:31:07.000042Z,caller:shop,encrypt,default/00,done,12,"
        '"{""count"":12,""since"":""2026-11-24T13:31:00.000000Z""}",' + "ab" * 32 + "\r\n"
    )
    assert json.loads(file_of("jsonl", entry_row(ENTRY))) == {
        "kind": "entry",
        "chain": "acme/local/p1",
        "number": 7,
        "at": "2026-11-24T13:31:07.000042Z",
        "actor": "caller:shop",
        "verb": "encrypt",
        "object": "default/00",
        "outcome": "done",
        "count": 12,
        "detail": '{"count":12,"since":"2026-11-24T13:31:00.000000Z"}',
        "hash": "ab" * 32,
    }


@pytest.mark.parametrize("form", FORMS)
def test_an_entry_comes_back_as_it_was_sealed(form: Form) -> None:
    (row,) = back(file_of(form, entry_row(ENTRY)))
    assert recorded_of(row) == ENTRY


@pytest.mark.parametrize("form", FORMS)
@given(actor=TEXT, object_=TEXT, detail=TEXT)
def test_whatever_a_field_holds_comes_back(form: Form, actor: str, object_: str, detail: str) -> None:
    row = Row(kind="entry", chain="c", number=1, actor=actor, object=object_, detail=detail)
    assert back(file_of(form, row, Row(kind="end", number=1))) == [row, Row(kind="end", number=1)]


@pytest.mark.parametrize("begins", ["=", "+", "-", "@", "\t", "\r", "\n", "'"])
def test_no_cell_is_a_formula_to_a_spreadsheet(begins: str) -> None:
    said = f'{begins}HYPERLINK("http://evil.example")'
    row = Row(kind="entry", chain="c", number=1, actor=said, detail=said)
    text = file_of("csv", row)
    _, cells = csv.reader(io.StringIO(text, newline=""))
    assert [cell[0] for cell in cells if "HYPERLINK" in cell] == ["'", "'"]
    assert back(text) == [row]


@pytest.mark.parametrize(
    "text",
    [
        "hello\n",
        '{"kind":"entry","unknown":1}\n',
        '{"kind":"other"}\n',
        "[]\n",
        ",".join(FIELDS) + "\r\nentry,c\r\n",
        ",".join(FIELDS) + "\r\nentry,c,x,,,,,,,,\r\n",
        ",".join(FIELDS) + '\r\n"entry\r\n',
    ],
)
def test_what_is_no_export_is_refused_in_words(text: str) -> None:
    with pytest.raises(Permanent, match="is not one of an export") as refused:
        back(text)
    assert refused.value.refusal is Refusal.BAD_REQUEST
    assert refused.value.remedy is not None
    assert "changed or cut short there" in refused.value.remedy.action
