"""From one file's bytes to the tenants it speaks of, and what in it could not be used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from openkcm.sdk.plain_text import display_text
from openkcm.sdk.refusals import Permanent, Refusal, Refused
from openkcm.sdk.tenant_identity import Identity, creator_of, identify
from openkcm.sdk.tenant_source import Observation, Presence, Problem
from openkcm_tenants_directory.documents import (
    MAX_DOCUMENTS,
    Document,
    TooManyDocuments,
    Unparsable,
    documents_of,
)

#: Of one file; every problem is kept for as long as its file stays as it is.
MAX_PROBLEMS_OF_FILE = 20
_LISTS = frozenset(
    {"List", "AccountList", "AccountInfoList", "APIBindingList", "LogicalClusterList", "TenantList"}
)


@dataclass(frozen=True, slots=True)
class Contents:
    """What one file says; with problems it is no proof that something is not there any more."""

    observations: tuple[Observation, ...] = ()
    problems: tuple[Problem, ...] = ()


def contents_of(content: bytes, *, file_name: str, issuer: str) -> Contents:
    """The tenants of one file, each document judged apart; a file that does not parse says nothing but its problem."""
    try:
        documents = documents_of(content, is_json=file_name.lower().endswith(".json"))
        _check_number(documents)
    except TooManyDocuments as many:
        return Contents(
            problems=(
                problem(file_name, Refusal.MANIFEST_TOO_LARGE, f"{many.reason} Split the file.", many.line),
            )
        )
    except Unparsable as broken:
        return Contents(
            problems=(problem(file_name, Refusal.MANIFEST_UNREADABLE, broken.reason, broken.line),)
        )
    if not documents:
        return Contents(problems=(problem(file_name, Refusal.MANIFEST_UNREADABLE, "The file is empty."),))
    observations: list[Observation] = []
    problems: list[Problem] = []
    left = 0
    for number, document in _manifests(documents):
        origin = file_name if number == "1" and len(documents) == 1 else f"{file_name}, document {number}"
        try:
            observations.append(
                _observe(document, origin=origin, reference=f"{file_name}#{number}", issuer=issuer)
            )
        except Refused as refused:
            if len(problems) == MAX_PROBLEMS_OF_FILE:
                left += 1
                continue
            advice = f" {refused.remedy.action}" if refused.remedy else ""
            problems.append(problem(origin, refused.refusal, refused.message + advice, document.line))
    if left:
        problems.append(problem(file_name, Refusal.TOO_MANY, f"{left:,} more documents cannot be used."))
    return Contents(tuple(observations), tuple(problems))


def file_of(reference: str) -> str:
    """The name of the file that a reference points into."""
    return reference.rpartition("#")[0]


def problem(origin: str, refusal: Refusal, message: str, line: int | None = None) -> Problem:
    """A problem of one file or document, said in a line."""
    return Problem(origin=origin, line=line, refusal=refusal, message=message)


def _manifests(documents: list[Document]) -> Iterator[tuple[str, Document]]:
    """Every manifest with its number; the items of a list, as ``kubectl get -o yaml`` writes it, are manifests too."""
    for number, document in enumerate(documents, 1):
        items = _items(document)
        if items is None:
            yield str(number), document
            continue
        for item_number, item in enumerate(items, 1):
            yield f"{number}.{item_number}", Document(item, document.line)


def _items(document: Document) -> list[object] | None:
    value = document.value
    if not isinstance(value, Mapping):
        return None
    kind, items = value.get("kind"), value.get("items")
    return items if isinstance(kind, str) and kind in _LISTS and isinstance(items, list) else None


def _check_number(documents: list[Document]) -> None:
    number = 0
    for document in documents:
        items = _items(document)
        number += 1 if items is None else len(items)
        if number > MAX_DOCUMENTS:
            raise TooManyDocuments(document.line)


def _observe(document: Document, *, origin: str, reference: str, issuer: str) -> Observation:
    manifest = document.value
    if not isinstance(manifest, Mapping):
        raise Permanent(Refusal.MANIFEST_INVALID, "The document is no manifest: it is not a mapping.")
    identity = identify(manifest)
    deleted_at = _deleted_at(manifest)
    return Observation(
        tenant_id=identity.tenant_id,
        kind=identity.kind,
        parent=identity.parent,
        name=identity.name,
        presence=Presence.DELETING if deleted_at else Presence.PRESENT,
        display_name=_display_name(manifest, identity),
        origin=origin,
        reference=reference,
        path=identity.path,
        creator=creator_of(manifest, issuer=issuer),
        deleted_at=deleted_at,
    )


def _display_name(manifest: Mapping[str, object], identity: Identity) -> str:
    spec = manifest.get("spec")
    chosen = spec.get("displayName") if identity.kind == "Account" and isinstance(spec, Mapping) else None
    shown = display_text(chosen) if isinstance(chosen, str) else ""
    # The name of a binding or of a workspace's own object says little; the last part of the path is the account's.
    own_name = identity.kind in {"Account", "AccountInfo"} or not identity.path
    return shown or display_text(identity.name if own_name else identity.path.rpartition(":")[2])


def _deleted_at(manifest: Mapping[str, object]) -> datetime | None:
    metadata = manifest["metadata"]
    written = metadata.get("deletionTimestamp") if isinstance(metadata, Mapping) else None
    if written is None:
        return None
    try:
        moment = datetime.fromisoformat(written)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (TypeError, ValueError, OverflowError):
        raise Permanent(
            Refusal.MANIFEST_INVALID,
            "metadata.deletionTimestamp is no date and time of the form 2026-01-31T12:00:00Z. Nothing was deleted.",
        ) from None
