"""Who speaks for which tenant: every document claims one, and of two that claim the same id or name one is refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from openkcm.sdk.refusals import Refusal
from openkcm.sdk.tenant_source import Known, Observation, Problem
from openkcm_tenants_directory.manifests import file_of, problem

MAX_PROBLEMS = 500
Key = tuple[str | None, str, str, str]


def key_of(told: Observation | Known) -> Key:
    """What makes two tellings the same tenant: its id, or without one kind, parent and name."""
    if told.tenant_id is not None:
        return (told.tenant_id, "", "", "")
    return (None, told.kind, told.parent, told.name)


def _name_of(told: Observation) -> tuple[str, str, str]:
    """What no two tenants share. An Account and an AccountInfo of one parent and name are the same account."""
    kind = "Account" if told.kind == "AccountInfo" and told.parent else told.kind
    return (kind, told.parent, told.name)


@dataclass(frozen=True, slots=True)
class Settled:
    """The one observation of each tenant, the files with refused documents, and the first of these documents.

    ``left`` counts the refused documents beside those in ``problems``.
    """

    tenants: Mapping[Key, Observation]
    problems: tuple[Problem, ...]
    refused_files: frozenset[str]
    left: int = 0


@dataclass(slots=True)
class _Refused:
    """What is refused: all of its files, and as many of its documents as are listed."""

    problems: list[Problem] = field(default_factory=list)
    files: set[str] = field(default_factory=set)
    left: int = 0

    def add(self, refused: Observation, what: str, by: str) -> None:
        self.files.add(file_of(refused.reference))
        if len(self.problems) == MAX_PROBLEMS:
            self.left += 1
        else:
            self.problems.append(_claimed(refused, what, by))


def settle(
    said: Mapping[str, tuple[Observation, ...]], *, holders: Mapping[Key, str], uncertain: AbstractSet[str]
) -> Settled:
    """Every tenant has one document; the one that had it before (``holders``: reference by key) keeps it.

    Among newcomers the first in the order of files and documents has it. A holder's file that cannot be read now keeps
    its tenants: then nobody else gets them.
    """
    refused = _Refused()
    by_key: dict[Key, list[Observation]] = {}
    for observations in said.values():
        for each in observations:
            by_key.setdefault(key_of(each), []).append(each)
    by_name: dict[tuple[str, str, str], list[Observation]] = {}
    for key, claimants in by_key.items():
        first = _holder_first(claimants, {holders.get(key, "")})
        holding_file = file_of(holders.get(key, ""))
        kept_elsewhere = holding_file in uncertain and holding_file != file_of(first.reference)
        if kept_elsewhere:
            refused.add(first, "the same tenant", holding_file)
        else:
            by_name.setdefault(_name_of(first), []).append(first)
        _refuse_others(claimants, first, "the same tenant", refused)
    tenants: dict[Key, Observation] = {}
    for namesakes in by_name.values():
        held = {holders[key_of(each)] for each in namesakes if key_of(each) in holders}
        first = _holder_first(namesakes, held)
        tenants[key_of(first)] = first
        _refuse_others(namesakes, first, "a tenant of the same name and parent", refused)
    return Settled(tenants, tuple(refused.problems), frozenset(refused.files), refused.left)


def _holder_first(claimants: list[Observation], held: AbstractSet[str]) -> Observation:
    if len(claimants) > 1:
        held_files = {file_of(reference) for reference in held}
        for exact in (
            lambda each: each.reference in held,
            lambda each: file_of(each.reference) in held_files,
        ):
            holder = next(filter(exact, claimants), None)
            if holder:
                return holder
    return claimants[0]


def _refuse_others(
    claimants: Iterable[Observation], first: Observation, what: str, refused: _Refused
) -> None:
    for each in claimants:
        if each is not first:
            refused.add(each, what, first.origin)


def _claimed(refused: Observation, what: str, by: str) -> Problem:
    return problem(
        refused.origin,
        Refusal.TENANT_CLAIMED,
        f"{refused.origin} names {what} as {by} does ({refused.kind} {refused.name}). "
        f"{by} counts; remove one of the two.",
    )
