"""The status of tenants, written beside the manifest they came from as ``<file name>.status.yaml``."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from operator import attrgetter
from pathlib import Path
from threading import Lock

from openkcm.sdk.plain_text import display_text
from openkcm.sdk.refusals import Permanent, Refusal, Remedy, Temporary
from openkcm.sdk.tenant_source import TenantStatus
from openkcm_tenants_directory.documents import Unparsable, documents_of
from openkcm_tenants_directory.folder import STATUS_SUFFIX, Unreadable, is_manifest_name, read
from openkcm_tenants_directory.manifests import file_of

TEMPORARY_SUFFIX = ".openkcm-tmp"
# Ten thousand tenants of one manifest, with twice the text that they usually have.
_MAX_BYTES = 8_388_608
_MOST_KEPT = 2
_MAX_NAME_BYTES = 255
_ITEM = "- "
_FIELDS = ("document", "tenantId", "state", "message", "url", "reportedAt")
_HEAD = "# Written by OpenKCM. It is never read as a manifest, and changes to it have no effect.\n"

Entry = Mapping[str, str]
Written = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class _Row:
    """One tenant's part of a file: where it stands, and its text as an element of a list."""

    order: tuple[int, ...]
    text: str


@dataclass(slots=True)
class _Turn:
    """The statuses that are written together with the next replacing of their file, and how that went."""

    statuses: list[TenantStatus] = field(default_factory=list)
    is_over: bool = False
    failure: OSError | None = None


class StatusFiles:
    """Writes status files; several tenants of one manifest share one, as a list in the order of their documents.

    Thousands may share one and be reported one by one: what this process wrote last is not parsed again, and what is
    reported while a file is being written goes into its next writing together.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._joining = Lock()
        self._writing = Lock()
        self._turns: dict[str, _Turn] = {}
        self._kept: dict[str, tuple[Written, dict[str, _Row]]] = {}

    @property
    def waiting(self) -> int:
        """How many statuses wait for their file to be written."""
        with self._joining:
            return sum(len(turn.statuses) for turn in self._turns.values())

    def write(self, statuses: Sequence[TenantStatus]) -> None:
        """Every status is in its file, the others of that file kept; files are replaced as wholes.

        All that can be written is. Not synced to disk: a status lost with the power is reported again.

        Raises:
            Temporary: ``STATUS_NOT_WRITTEN``; the folder is read-only, full or away. Naming the first of the files.
            Permanent: ``STATUS_NOT_WRITTEN``; a reference does not point at a file of this folder.
        """
        by_file: dict[str, list[TenantStatus]] = {}
        for status in statuses:
            by_file.setdefault(_checked_file(status.reference), []).append(status)
        failures: list[tuple[str, str]] = []
        for name, of_file in by_file.items():
            try:
                self._take_turn(name, of_file)
            except OSError as failed:
                failures.append((name, os.strerror(failed.errno or 0)))
        if failures:
            name, reason = failures[0]
            more = f" ({len(failures) - 1} more likewise)" if len(failures) > 1 else ""
            raise Temporary(
                Refusal.STATUS_NOT_WRITTEN,
                f"The status of {name} could not be written in {self._folder}: {reason}{more}.",
                remedy=Remedy(
                    "Let the worker's user write in the folder. Tenants work without their status files.",
                    "Platform operator",
                    "plugins/tenants-directory",
                ),
            )

    def _take_turn(self, name: str, statuses: Sequence[TenantStatus]) -> None:
        with self._joining:
            turn = self._turns.setdefault(name, _Turn())
            turn.statuses += statuses
        with self._writing:
            if not turn.is_over:
                with self._joining:
                    del self._turns[name]
                turn.is_over = True
                try:
                    self._replace(name, turn.statuses)
                except OSError as failed:
                    turn.failure = failed
        if turn.failure:
            raise turn.failure

    def _replace(self, name: str, statuses: Iterable[TenantStatus]) -> None:
        target = self._folder / (name + STATUS_SUFFIX)
        written, rows = self._kept.pop(name, (None, {}))
        if written is None or written != _written(target):
            rows = {entry["tenantId"]: _row(entry) for entry in self._present(target)}
        rows |= {status.tenant_id: _row(_entry(status)) for status in statuses}
        ordered = sorted(rows.values(), key=attrgetter("order"))
        text = "\n".join(row.text for row in ordered)
        if len(ordered) == 1 and ordered[0].order == (1,):
            text = "\n".join(line[len(_ITEM) :] for line in text.split("\n"))
        self._kept[name] = (_write_whole(target, f"{_HEAD}{text}\n".encode()), rows)
        if len(self._kept) > _MOST_KEPT:
            del self._kept[next(iter(self._kept))]

    def _present(self, target: Path) -> Sequence[Entry]:
        """What an earlier process wrote; a file that is not as we write it is written anew."""
        try:
            documents = documents_of(read(self._folder, target.name, max_bytes=_MAX_BYTES), is_json=False)
        except (Unreadable, Unparsable):
            return ()
        value = documents[0].value if documents else []
        found = value if isinstance(value, list) else [value]
        return [
            {name: display_text(str(entry.get(name) or ""), max_characters=2000) for name in _FIELDS}
            for entry in found
            if isinstance(entry, Mapping) and entry.get("tenantId")
        ]


def _entry(status: TenantStatus) -> Entry:
    return {
        "document": status.reference.rpartition("#")[2],
        "tenantId": status.tenant_id,
        "state": display_text(status.state),
        "message": display_text(status.message, max_characters=2000),
        "url": display_text(status.url, max_characters=2000),
        "reportedAt": status.reported_at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
    }


def _row(entry: Entry) -> _Row:
    """YAML whose every value is a JSON string: quoted, so that no text in it can be anything but text."""
    lines = (f"{key}: {json.dumps(text, ensure_ascii=False)}" for key, text in entry.items())
    return _Row(_document_order(entry["document"]), _ITEM + f"\n{' ' * len(_ITEM)}".join(lines))


def _document_order(number: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdecimal() else 0 for part in number.split("."))


def _checked_file(reference: str) -> str:
    name = file_of(reference)
    too_long = len(os.fsencode(name)) + len(STATUS_SUFFIX) > _MAX_NAME_BYTES
    if "/" in name or "\0" in name or too_long or not is_manifest_name(name):
        raise Permanent(
            Refusal.STATUS_NOT_WRITTEN,
            f"{ascii(reference)[:120]} is no document of this folder, or its file's name is too long.",
            remedy=Remedy(
                "Give the manifest a shorter name.", "Platform operator", "plugins/tenants-directory"
            ),
        )
    return name


def _written(target: Path) -> Written | None:
    try:
        return _same(target.lstat())
    except OSError:
        return None


def _same(about: os.stat_result) -> Written:
    return (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns)


def _write_whole(target: Path, content: bytes) -> Written:
    """The target holds ``content`` or what it held before; a link in its place is replaced, not followed.

    Answers what it is told by from what somebody else puts there later.
    """
    temporary = target.parent / f".{secrets.token_hex(8)}{TEMPORARY_SUFFIX}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(temporary, flags, 0o644), "wb") as file:
            file.write(content)
            file.flush()
            written = _same(os.fstat(file.fileno()))
        temporary.replace(target)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    return written
