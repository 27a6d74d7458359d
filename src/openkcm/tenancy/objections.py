"""What a source could not use, and documents that the core refused: kept until they are gone or can be used."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from openkcm.audit.record import INSTALLATION, Entry
from openkcm.audit.verbs import AuditVerb
from openkcm.kernel.db import Transaction
from openkcm.kernel.log import get_logger
from openkcm.sdk.plain_text import display_text, plain_text
from openkcm.sdk.tenant_source import Creator, Observation, Problem
from openkcm.tenancy.resolve import Objection, Place, Said, claim_of
from openkcm.tenancy.tables import ProblemRow

log = get_logger(__name__)

#: One change of a source fills no log: the rest is in the list.
_LOGGED = 20
_SAID = "select id, origin, line, refusal, message from source_problems where source = $1 and refused is null"
_SAY = """insert into source_problems (source, origin, line, refusal, message)
select $1, * from unnest($2::text[], $3::integer[], $4::text[], $5::text[])"""
_OBJECT = """insert into source_problems as kept (source, reference, origin, refusal, message, refused)
values ($1, $2, $3, $4, $5, $6::text::jsonb)
on conflict (source, reference) where refused is not null
do update set origin = excluded.origin, refusal = excluded.refusal, message = excluded.message,
    refused = excluded.refused, seen_at = now()
where (kept.refusal, kept.message, kept.refused) is distinct from (excluded.refusal, excluded.message, excluded.refused)
returning 1"""
_SETTLE = """delete from source_problems using unnest($1::text[], $2::text[]) as settled (source, reference)
where source_problems.source = settled.source and source_problems.reference = settled.reference
    and refused is not null"""
_REFUSED = (
    "select source, refused::text as refused from source_problems where refused is not null order by id"
)


async def replace_problems(tx: Transaction, source: str, problems: Sequence[Problem]) -> None:
    """These are all problems that the source has now; what it said before and says again keeps its date."""
    wanted = {
        (
            display_text(each.origin, max_characters=1024),
            each.line,
            each.refusal.value,
            display_text(each.message, max_characters=2048),
        )
        for each in problems
    }
    rows = await tx.fetch(_SAID, source)
    there = {(row["origin"], row["line"], row["refusal"], row["message"]): row["id"] for row in rows}
    if over := [
        row["id"] for row in rows if there.get(tuple(row)[1:]) != row["id"] or tuple(row)[1:] not in wanted
    ]:
        await tx.execute("delete from source_problems where id = any($1::bigint[])", over)
    if fresh := sorted(wanted - there.keys(), key=repr):
        await tx.execute(_SAY, source, *map(list, zip(*fresh, strict=True)))
    for origin, line, refusal, message in fresh[:_LOGGED]:
        log.warning(
            "tenancy.problem", source=source, origin=origin, line=line, refusal=refusal, message=message
        )
    if len(fresh) > _LOGGED:
        log.warning("tenancy.more_problems", source=source, count=len(fresh) - _LOGGED)


async def keep_objections(tx: Transaction, objections: Iterable[Objection]) -> list[Entry]:
    """Each refused document is kept with the reason; returns what is new of it for the audit log."""
    entries = []
    for each in objections:
        told = each.said.observation
        # A reference that cannot be stored cannot be told from others either: its origin stands for it.
        reference = _storable(told.reference)
        origin = display_text(told.origin, max_characters=1024)
        message = display_text(each.message, max_characters=4096)
        document = _document(told)
        if await tx.fetchval(
            _OBJECT, each.said.source, reference, origin, each.refusal.value, message, document
        ):
            entries.append(
                Entry(
                    chain=INSTALLATION,
                    actor=f"source:{each.said.source}",
                    verb=AuditVerb.DOCUMENT_REFUSED,
                    object=origin,
                    outcome=each.refusal.value,
                    detail={"message": message},
                )
            )
    return entries


def _document(told: Observation) -> str:
    """The observation as JSON that PostgreSQL takes."""
    made: dict[str, object] = {name: getattr(told, name) for name in Observation.__dataclass_fields__}
    made |= {name: _storable(value) for name, value in made.items() if isinstance(value, str)}
    if told.creator is not None:
        # Nobody, where the name cannot be stored: what is left of it might be somebody else's.
        names = (told.creator.issuer, told.creator.username)
        made["creator"] = told.creator if all(map(_is_storable, names)) else Creator("", "")
    return msgspec.json.encode(made).decode()


def _storable(text: str) -> str:
    return text if _is_storable(text) else display_text(text, max_characters=4096)


def _is_storable(text: str) -> bool:
    # Direction marks stay: without them another name might be taken when the document is looked at again.
    return plain_text(text, max_characters=4096, with_direction_marks=True)


async def settle(tx: Transaction, settled: Iterable[tuple[str, str]]) -> None:
    """Nothing is objected to these documents, each (source, reference), any more."""
    sources, references = zip(*sorted(settled), strict=True)
    await tx.execute(_SETTLE, list(sources), list(references))


async def freed(tx: Transaction, released: Sequence[Place]) -> list[Said]:
    """Refused documents that claim what these tenants held: they are to be looked at again."""
    ids = {place.id for place in released}
    claims = {place.claim for place in released}
    found = []
    for row in await tx.fetch(_REFUSED):
        told = msgspec.json.decode(row["refused"], type=Observation)
        if told.tenant_id in ids or claim_of(told.kind, told.parent, told.name) in claims:
            found.append(Said(row["source"], told))
    return found


async def problems_of(
    tx: Transaction,  # noqa: ARG001  # Piccolo finds the open transaction by itself; here it is seen that there is one
    source: str | None = None,
) -> list[dict[str, object]]:
    """What cannot be used now, of one source or all: source, origin, line, refusal, message, seen_at; oldest first."""
    columns = [
        getattr(ProblemRow, name) for name in ("source", "origin", "line", "refusal", "message", "seen_at")
    ]
    query = ProblemRow.select(*columns).order_by(ProblemRow.seen_at).order_by(ProblemRow.id)
    return list(await (query if source is None else query.where(ProblemRow.source == source)))
