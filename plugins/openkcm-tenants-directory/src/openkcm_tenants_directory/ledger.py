"""What was told, what has to be told now: pure bookkeeping over looks and readings, with time handed in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from openkcm.sdk.plain_text import display_text
from openkcm.sdk.refusals import Refusal
from openkcm.sdk.tenant_source import Known, Observation, Presence, Problem
from openkcm_tenants_directory.claims import MAX_PROBLEMS, Key, Settled, key_of, settle
from openkcm_tenants_directory.files import Files
from openkcm_tenants_directory.manifests import file_of, problem

_CURSOR = "1:"
_MODULUS = 1 << 256


def digest(observation: Observation) -> int:
    """A number for everything that an observation says."""
    said = repr(observation).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(said, digest_size=32).digest(), "big")


class Ledger:
    """Between the core's knowledge and the folder's.

    ``cursor`` is the sum of what is told, so that it costs the same for one tenant and for many, and equal sums mean
    that a whole folder needs no telling after a restart.
    """

    def __init__(
        self,
        files: Files,
        *,
        known: Sequence[Known],
        confirm_s: float,
        all_gone_confirm_s: float,
    ) -> None:
        self._files = files
        self._confirm_s = confirm_s
        self._all_gone_confirm_s = all_gone_confirm_s
        self._told: dict[Key, Observation] = {}
        self._known = {key_of(each): each for each in known if each.presence is not Presence.UNINSTALLED}
        self._missing: dict[Key, float] = {}
        self._settled = Settled({}, (), frozenset())
        self._settled_version = self._news_version = -1
        self._sum = 0

    @property
    def cursor(self) -> str:
        """What stands for everything told so far."""
        return f"{_CURSOR}{self._sum:064x}"

    @property
    def tenants(self) -> int:
        """How many tenants the core has of this folder, as far as is known here."""
        return len(self._told.keys() | self._known.keys())

    def settle(self) -> Mapping[Key, Observation]:
        """The tenants as all files together say now."""
        if self._settled_version != self._files.version:
            self._settled_version = self._files.version
            self._settled = settle(
                self._files.said(), holders=self._holders(), uncertain=self._files.uncertain()
            )
        return self._settled.tenants

    def trust(self, cursor: str) -> None:
        """Where ``cursor`` stands for exactly the folder as it is, what the core knows already counts as told."""
        now = self.settle()
        total = sum(map(digest, now.values())) % _MODULUS
        if cursor != f"{_CURSOR}{total:064x}":
            return
        for key, observation in now.items():
            known = self._known.get(key)
            if known and (known.presence, known.reference) == (observation.presence, observation.reference):
                self._tell(key, observation)

    def news(self, *, now: float) -> Iterator[Observation]:
        """What is to be told, each observation counted as told when the next is asked for."""
        if self._news_version == self._files.version and not self._missing:
            return
        self._news_version = self._files.version
        for key, observation in self.settle().items():
            self._missing.pop(key, None)
            if self._told.get(key) != observation:
                self._tell(key, observation)
                yield observation
        yield from self._confirmed_gone(now)

    def next_due_s(self, *, now: float) -> float:
        """Seconds until a missing tenant may be confirmed; infinite where none is missing."""
        wait = self._patience_s()
        return max(0.0, min((at + wait - now for at in self._missing.values()), default=float("inf")))

    def problems(self) -> list[Problem]:
        """The whole list, bounded: past ``MAX_PROBLEMS`` the last one says how many more there are."""
        found, left = self._files.problems(most=MAX_PROBLEMS)
        found += self._settled.problems
        left += self._settled.left
        if self._all_gone():
            found.append(
                problem(
                    "the whole folder",
                    Refusal.SOURCE_UNAVAILABLE,
                    f"All {len(self._missing)} tenants' manifests are gone at once. If they stay so, the tenants are "
                    f"uninstalled {self._all_gone_confirm_s:g} s after that was seen; put them back to prevent it.",
                )
            )
        if left or len(found) > MAX_PROBLEMS:
            left += len(found[MAX_PROBLEMS - 1 :])
            rest = problem("the folder", Refusal.TOO_MANY, f"{left} more files or documents cannot be used.")
            found = [*found[: MAX_PROBLEMS - 1], rest]
        return found

    def _holders(self) -> dict[Key, str]:
        known = {key: each.reference for key, each in self._known.items()}
        return known | {key: each.reference for key, each in self._told.items()}

    def _tell(self, key: Key, observation: Observation) -> None:
        before = self._told.get(key)
        self._sum = (self._sum - (digest(before) if before else 0) + digest(observation)) % _MODULUS
        self._told[key] = observation
        self._known.pop(key, None)

    def _confirmed_gone(self, now: float) -> Iterator[Observation]:
        if self._files.unread():
            # A manifest that moved may be in a file that was not read yet.
            return
        uncertain = self._files.uncertain() | self._settled.refused_files
        for key, reference in self._holders().items():
            if key in self._settled.tenants or file_of(reference) in uncertain:
                self._missing.pop(key, None)
            else:
                self._missing.setdefault(key, now)
        patience_s = self._patience_s()
        for key in [key for key, since in self._missing.items() if now - since >= patience_s]:
            del self._missing[key]
            told, known = self._told.pop(key, None), self._known.pop(key, None)
            if told:
                self._sum = (self._sum - digest(told)) % _MODULUS
                yield replace(told, presence=Presence.UNINSTALLED, deleted_at=None)
            elif known:
                yield _gone(known)

    def _patience_s(self) -> float:
        return self._all_gone_confirm_s if self._all_gone() else self._confirm_s

    def _all_gone(self) -> bool:
        return len(self._missing) > 1 and len(self._missing) == self.tenants


def _gone(known: Known) -> Observation:
    return Observation(
        tenant_id=known.tenant_id,
        kind=known.kind,
        parent=known.parent,
        name=known.name,
        presence=Presence.UNINSTALLED,
        display_name=display_text(known.name),
        origin=file_of(known.reference),
        reference=known.reference,
    )
