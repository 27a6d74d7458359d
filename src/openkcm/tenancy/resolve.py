"""What observations mean: new tenants, moves, refused documents. Pure: all that is known is handed in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from openkcm.sdk.plain_text import MAX_NAME_CHARACTERS, display_text, plain_text
from openkcm.sdk.refusals import Refusal, Refused
from openkcm.sdk.tenant_id import checked_tenant_id
from openkcm.sdk.tenant_source import Creator, Observation, Presence
from openkcm.tenancy.model import STANDING_MOVES, Standing

MAX_PATH_CHARACTERS = 1024
MAX_ORIGIN_CHARACTERS = 1024
MAX_REFERENCE_CHARACTERS = 4096


class Claim(NamedTuple):
    """What no two present tenants share: an Account and an AccountInfo of one parent and name are one account."""

    kind: str
    parent: str
    name: str


def claim_of(kind: str, parent: str, name: str) -> Claim:
    """The claim that a document of this kind makes."""
    return Claim("Account" if kind == "AccountInfo" and parent else kind, parent, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A tenant as a source describes it; ``made_id`` where the core made its id."""

    id: str
    source: str
    kind: str
    parent: str
    name: str
    display_name: str
    path: str
    origin: str
    reference: str
    made_id: bool
    creator: Creator | None
    presence: Standing

    @property
    def claim(self) -> Claim:
        return claim_of(self.kind, self.parent, self.name)


@dataclass(frozen=True, slots=True)
class Said:
    """One observation with its source."""

    source: str
    observation: Observation


@dataclass(frozen=True, slots=True)
class Objection:
    """A document that is not used, and why; it is read again when what stands in its way is gone."""

    said: Said
    refusal: Refusal
    message: str


@dataclass(slots=True)
class Resolved:
    """What is to be written. ``moved`` has (before, after); ``settled`` are (source, reference) without objection."""

    fresh: dict[str, Place] = field(default_factory=dict)
    moved: dict[str, tuple[Place, Place]] = field(default_factory=dict)
    objections: list[Objection] = field(default_factory=list)
    settled: set[tuple[str, str]] = field(default_factory=set)

    @property
    def released(self) -> list[Place]:
        """Tenants that hold their id or name no more, as they were."""
        return [before for before, after in self.moved.values() if _released(before, after)]


def _released(before: Place, after: Place) -> bool:
    return before.presence is Standing.PRESENT and (
        after.presence is not Standing.PRESENT or after.claim != before.claim
    )


def resolve(
    said: Iterable[Said], *, known: Iterable[Place], made_ids: Mapping[tuple[str, str, str, str], str]
) -> Resolved:
    """What the observations change, one after the other.

    ``known`` has every tenant whose id or claim occurs; ``made_ids`` an id for each (source, kind, parent, name) that
    comes without one: the one that was made before, else a new one.
    """
    resolving = _Resolving({place.id: place for place in known})
    for each in said:
        resolving.take(each, made_ids)
    return resolving.found


class _Resolving:
    def __init__(self, by_id: dict[str, Place]) -> None:
        self._by_id = by_id
        self._holder = {place.claim: place for place in by_id.values() if place.presence is Standing.PRESENT}
        self._here: dict[str, Observation] = {}
        self.found = Resolved()

    def take(self, said: Said, made_ids: Mapping[tuple[str, str, str, str], str]) -> None:
        told = said.observation
        if told.tenant_id is None:
            tenant_id = made_ids[said.source, told.kind, told.parent, told.name]
        else:
            tenant_id = told.tenant_id
        try:
            checked_tenant_id(tenant_id)
        except Refused as refused:
            self._object(said, refused.refusal, f"{_shown(told.origin)}: {refused.message}")
            return
        if (flaw := flaw_of(told)) is not None:
            self._object(said, Refusal.MANIFEST_INVALID, f"{_shown(told.origin)}: {flaw}")
            return
        before = self._by_id.get(tenant_id)
        if told.presence is not Presence.PRESENT and (before is None or before.source != said.source):
            # It is not known, or not this source's: nothing ends, and an objection to it is void.
            self.found.settled.add((said.source, told.reference))
            return
        after = _described(said, tenant_id, before)
        if (objection := self._objection(before, after, told)) is not None:
            self._object(said, *objection)
            return
        self.found.settled.add((said.source, told.reference))
        self._here[tenant_id] = told
        if after != before:
            self._write(before, after)

    def _objection(self, before: Place | None, after: Place, told: Observation) -> tuple[Refusal, str] | None:
        if before is not None and before.presence is Standing.GONE:
            return Refusal.TENANT_STATE, (
                f"{_shown(told.origin)} names tenant {before.id}, whose keys were destroyed. "
                "Its id is never used again."
            )
        if before is not None and _is_contested(before, after, self._here.get(after.id)):
            return Refusal.TENANT_CLAIMED, (
                f"{_shown(told.origin)} (source {after.source}) names tenant {before.id}, as "
                f"{_shown(before.origin)} (source {before.source}) does. The latter counts; remove one of the two."
            )
        holder = self._holder.get(after.claim)
        if holder is not None and holder.id != after.id and after.presence is Standing.PRESENT:
            return Refusal.TENANT_CLAIMED, (
                f"{_shown(told.origin)} (source {after.source}) names the {after.kind} {_shown(after.name)} as tenant "
                f"{after.id}, but {_shown(holder.origin)} (source {holder.source}) holds that name as tenant "
                f"{holder.id}. The latter counts until it is removed."
            )
        return None

    def _object(self, said: Said, refusal: Refusal, message: str) -> None:
        self.found.objections.append(Objection(said, refusal, message))

    def _write(self, before: Place | None, after: Place) -> None:
        if before is not None:
            if self._holder.get(before.claim) is before:
                del self._holder[before.claim]
            first = self.found.moved.get(after.id, (before, before))[0]
            self.found.moved[after.id] = (first, after)
        else:
            self.found.fresh[after.id] = after
        self._by_id[after.id] = after
        if after.presence is Standing.PRESENT:
            self._holder[after.claim] = after


def _is_contested(before: Place, after: Place, here: Observation | None) -> bool:
    if before.source != after.source:
        # What is uninstalled in one source may appear in another; what is being deleted is its own source's.
        return before.presence is not Standing.UNINSTALLED
    # A source settles between its own documents; two in one batch it has not.
    return (
        here is not None
        and here.presence is Presence.PRESENT
        and before.presence is Standing.PRESENT
        and before.reference != after.reference
    )


def _described(said: Said, tenant_id: str, before: Place | None) -> Place:
    told = said.observation
    presence = Standing(told.presence)
    if before is not None:
        if (before.presence, presence) not in STANDING_MOVES:
            presence = before.presence
        if told.presence is Presence.UNINSTALLED:
            return replace(before, presence=presence, origin=_shown(told.origin), reference=told.reference)
    return Place(
        id=tenant_id,
        source=said.source,
        kind=told.kind,
        parent=told.parent,
        name=told.name,
        display_name=display_text(told.display_name) or told.name,
        path=told.path,
        origin=_shown(told.origin),
        reference=told.reference,
        made_id=told.tenant_id is None,
        creator=before.creator if before is not None and before.creator else told.creator,
        presence=presence,
    )


def flaw_of(told: Observation) -> str | None:
    """What of it cannot be stored, or None. Sources promise that it does not occur; here nothing depends on that."""
    creator = told.creator or Creator("", "x")
    # A tenant that is stored with direction marks in its name can go all the same; nothing new comes with them.
    going = told.presence is Presence.UNINSTALLED
    for what, text, most in (
        ("kind", told.kind, MAX_NAME_CHARACTERS),
        ("parent", told.parent, MAX_NAME_CHARACTERS),
        ("name", told.name, MAX_NAME_CHARACTERS),
        ("path", told.path, MAX_PATH_CHARACTERS),
        ("reference", told.reference, MAX_REFERENCE_CHARACTERS),
        ("creator's issuer", creator.issuer, 2048),
        ("creator", creator.username, 320),
    ):
        if not plain_text(text, max_characters=most, with_direction_marks=going):
            return (
                f"Its {what} has control characters, marks that turn the reading direction, "
                f"or more than {most} characters."
            )
    return None if told.kind and told.name and creator.username else "Its kind, name or creator is empty."


def _shown(text: str) -> str:
    return display_text(text, max_characters=MAX_ORIGIN_CHARACTERS)
