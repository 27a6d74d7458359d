"""The status of tenants, written beside the manifest they came from as ``<file name>.status.yaml``."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC
from pathlib import Path

from openkcm.sdk.plain_text import display_text
from openkcm.sdk.refusals import Permanent, Refusal, Remedy, Temporary
from openkcm.sdk.tenant_source import TenantStatus
from openkcm_tenants_directory.documents import Unparsable, documents_of
from openkcm_tenants_directory.folder import STATUS_SUFFIX, Unreadable, is_manifest_name, read
from openkcm_tenants_directory.manifests import file_of

TEMPORARY_SUFFIX = ".openkcm-tmp"
_MAX_BYTES = 4_194_304
_MAX_NAME_BYTES = 255
_FIELDS = ("document", "tenantId", "state", "message", "url", "reportedAt")
_HEAD = "# Written by OpenKCM. It is never read as a manifest, and changes to it have no effect.\n"

Entry = Mapping[str, str]


class StatusFiles:
    """Writes status files; several tenants of one manifest share one, as a list in the order of their documents."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

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
                self._replace(name, of_file)
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

    def _replace(self, name: str, statuses: Iterable[TenantStatus]) -> None:
        target = self._folder / (name + STATUS_SUFFIX)
        entries = {entry.get("tenantId", ""): entry for entry in self._present(target)}
        for status in statuses:
            entries[status.tenant_id] = _entry(status)
        ordered = sorted(entries.values(), key=lambda entry: _document_order(entry.get("document", "")))
        several = len(ordered) > 1 or any(entry.get("document") != "1" for entry in ordered)
        lines = [line for entry in ordered for line in _lines(entry, listed=several)]
        _write_whole(target, (_HEAD + "\n".join(lines) + "\n").encode())

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


def _lines(entry: Entry, *, listed: bool) -> Sequence[str]:
    """YAML whose every value is a JSON string: quoted, so that no text in it can be anything but text."""
    lines = [f"{key}: {json.dumps(text, ensure_ascii=False)}" for key, text in entry.items()]
    return [("  " if number else "- ") + line for number, line in enumerate(lines)] if listed else lines


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


def _write_whole(target: Path, content: bytes) -> None:
    """The target holds ``content`` or what it held before; a link in its place is replaced, not followed."""
    temporary = target.parent / f".{secrets.token_hex(8)}{TEMPORARY_SUFFIX}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(temporary, flags, 0o644), "wb") as file:
            file.write(content)
        temporary.replace(target)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
