"""The rows of an export, and how they stand in a file: JSON Lines or CSV, in both the same fields. No I/O.

docs/reference/audit.md has the form field by field.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Final, Literal

import msgspec

from openkcm.audit.verify import Recorded
from openkcm.crypto.contract import SignedCheckpoint, UseEntry
from openkcm.sdk.refusals import Permanent, Refusal, Remedy

FORMAT: Final = 1
Form = Literal["csv", "jsonl"]
Of = Literal["uses", "config"]
MOST_CHARACTERS: Final = 2**20
"""A line, or a field, of a file that is read."""


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One line. ``kind``: ``header``, ``checkpoint``, ``start`` of a chain, ``entry``, ``end``."""

    kind: Literal["header", "checkpoint", "start", "entry", "end"]
    chain: str = ""
    number: int = 0
    at: str = ""
    actor: str = ""
    verb: str = ""
    object: str = ""
    outcome: str = ""
    count: int = 0
    detail: str = ""
    hash: str = ""


FIELDS: Final = Row.__struct_fields__
# A spreadsheet takes a cell that begins so for a formula; a quote before it makes it text. One more is put before a
# quote, so that it can be taken away again.
_GUARDED: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "'")


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What the file is: ``since`` and ``until`` as they were asked for, in ISO 8601, or empty."""

    format: int = FORMAT
    since: str = ""
    until: str = ""


class _Counted(msgspec.Struct, frozen=True):
    count: int = 1


def header(tenant: str, of: Of, *, at: datetime, since: datetime | None, until: datetime | None) -> Row:
    """The first row."""
    asked = Header(since=stamp(since) if since else "", until=stamp(until) if until else "")
    return Row(kind="header", chain=tenant, verb=of, at=stamp(at), detail=_text(asked))


def checkpoint_row(tenant: str, signed: SignedCheckpoint) -> Row:
    """What proves the entries that follow."""
    return Row(kind="checkpoint", chain=f"{tenant}/{signed.signature.signer}", detail=_text(signed))


def entry_row(entry: UseEntry | Recorded) -> Row:
    """An entry as it was sealed. ``count`` is a copy of what ``detail`` says."""
    return Row(
        kind="entry",
        chain=entry.chain,
        number=entry.number,
        at=stamp(entry.at),
        actor=entry.actor,
        verb=entry.verb,
        object=entry.object,
        outcome=entry.outcome,
        count=count_of(entry.detail),
        detail=entry.detail.decode("utf-8", "replace"),
        hash=entry.hash if isinstance(entry.hash, str) else entry.hash.hex(),
    )


def recorded_of(row: Row) -> Recorded:
    """The entry that the row is of. Raises ``ValueError``: it is none."""
    at = datetime.fromisoformat(row.at)
    if at.tzinfo is None:
        raise ValueError("a time without its zone")
    return Recorded(
        chain=row.chain,
        number=row.number,
        at=at,
        actor=row.actor,
        verb=row.verb,
        object=row.object,
        outcome=row.outcome,
        detail=row.detail.encode(),
        hash=bytes.fromhex(row.hash),
    )


def count_of(detail: bytes) -> int:
    """How many uses an entry tells of."""
    try:
        return msgspec.json.decode(detail, type=_Counted).count
    except msgspec.MsgspecError:
        return 1


def stamp(at: datetime) -> str:
    """The time in UTC, in microseconds: all of what is sealed."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def head_of(form: Form) -> str:
    """What stands before the first row."""
    return _csv_line(FIELDS) if form == "csv" else ""


def written(row: Row, form: Form) -> str:
    """The row as one line."""
    if form == "jsonl":
        return msgspec.json.encode(row).decode() + "\n"
    return _csv_line(_guarded(str(getattr(row, name) or "")) for name in FIELDS)


def read(lines: Iterable[str]) -> Iterator[Row]:
    """The rows of a file of either form.

    Raises:
        Permanent: BAD_REQUEST; it is no export, or a line is damaged.
    """
    source = iter(lines)
    first = next(source, "")
    if first.rstrip("\r\n").split(",") == list(FIELDS):
        yield from _read_csv(source)
        return
    for number, line in enumerate(_with(first, source), 1):
        try:
            yield msgspec.json.decode(line, type=Row)
        except msgspec.MsgspecError:
            raise _unreadable(number) from None


def _read_csv(lines: Iterator[str]) -> Iterator[Row]:
    reader, number = csv.reader(lines, strict=True), 1
    try:
        for cells in reader:
            number += 1
            fields: dict[str, object] = dict(
                zip(FIELDS, (cell.removeprefix("'") for cell in cells), strict=True)
            )
            fields = {name: value for name, value in fields.items() if value != ""}
            yield msgspec.convert(fields, type=Row, strict=False)
    except (csv.Error, ValueError, msgspec.MsgspecError):
        raise _unreadable(number) from None


def _with(first: str, others: Iterator[str]) -> Iterator[str]:
    yield first
    yield from others


def _guarded(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_GUARDED) else cell


def _csv_line(cells: Iterable[str]) -> str:
    written_to = io.StringIO()
    csv.writer(written_to, lineterminator="\r\n").writerow(cells)
    return written_to.getvalue()


def _text(of: msgspec.Struct) -> str:
    return msgspec.json.encode(of).decode()


def _unreadable(number: int) -> Permanent:
    return Permanent(
        Refusal.BAD_REQUEST,
        f"Line {number} is not one of an export of OpenKCM's audit log.",
        remedy=Remedy(
            "Name a file that 'openkcm audit export' or the page has written; one that was written so was changed or "
            "cut short there, and proves nothing.",
            "operator",
            "reference/audit#export",
        ),
    )
