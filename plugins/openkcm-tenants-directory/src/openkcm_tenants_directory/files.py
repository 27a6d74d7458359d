"""Which files are there, which rest long enough to be read, and what each said when it was last readable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

from openkcm.sdk.plain_text import display_text
from openkcm.sdk.refusals import Refusal
from openkcm.sdk.tenant_source import Observation, Problem
from openkcm_tenants_directory.folder import Entry, Look, Stamp
from openkcm_tenants_directory.manifests import Contents, problem

_OLD_ENOUGH_S = 2.0
_STILL_WRITING_S = 5.0
_TRY_AGAIN_S = 1.0
_TRY_AGAIN_FOR_S = 10.0
#: A larger file waits for all others; reading a part of the folder that has one takes noticeable time.
LARGE_BYTES = 65_536


@dataclass(slots=True)
class _Seen:
    """One file between its first sight and its going. ``said`` outlives later states that cannot be read."""

    entry: Entry
    since: float
    waited_since: float
    busy: bool = False
    read: Stamp | None = None
    read_at: float = 0.0
    said: tuple[Observation, ...] = ()
    problems: tuple[Problem, ...] = ()


def is_large(stamp: Stamp) -> bool:
    """Whether the file is read after the others."""
    return stamp[2] > LARGE_BYTES


class Files:
    """The files of the folder by name. All times are of one clock that never goes back, but for modification times."""

    def __init__(self, *, settle_s: float, max_bytes: int) -> None:
        self._settle_s = settle_s
        self._max_bytes = max_bytes
        self._seen: dict[str, _Seen] = {}
        # Grows with every change of what the files say or of what is certain of them.
        self.version = 0

    def saw(self, look: Look, *, now: float) -> None:
        """The look is taken over: what came, went or changed since the last one is known."""
        for name in [name for name in self._seen if name not in look.entries]:
            del self._seen[name]
            self.version += 1
        for name, entry in look.entries.items():
            seen = self._seen.get(name)
            if seen is None:
                self._seen[name] = _Seen(entry, now, now)
            elif seen.entry.stamp != entry.stamp:
                if seen.read == seen.entry.stamp:
                    seen.waited_since = now
                seen.entry, seen.since, seen.busy = entry, now, False
                self._name_endless(seen, name, now=now)
            else:
                continue
            self.version += 1

    def due(self, *, now: float, wall_s: float) -> list[tuple[str, Stamp]]:
        """What is to be read now, in the order of the names, large files last; what never will be is judged here."""
        found = []
        for name in sorted(self._seen):
            seen = self._seen[name]
            if not self._is_due(seen, now=now, wall_s=wall_s):
                continue
            if seen.entry.oddity:
                self.failed(name, seen.entry.stamp, f"The file was not read: {seen.entry.oddity}.", now=now)
            elif seen.entry.size > self._max_bytes:
                too_large = (
                    f"The file has {seen.entry.size:,} bytes, more than {self._max_bytes:,}; it was not read."
                )
                self.failed(name, seen.entry.stamp, too_large, now=now, refusal=Refusal.MANIFEST_TOO_LARGE)
            else:
                found.append((name, seen.entry.stamp))
        return sorted(found, key=lambda file: is_large(file[1]))

    def _is_due(self, seen: _Seen, *, now: float, wall_s: float) -> bool:
        if seen.read != seen.entry.stamp:
            # A file that was last changed long ago needs no rest; nor does one from the future, by a clock set back.
            rests = wall_s - seen.entry.modified_s > _OLD_ENOUGH_S and not seen.busy
            return rests or now - seen.since >= self._settle_s
        # A stamp may stay the same over a change where a file system keeps whole seconds.
        young = now - seen.since <= _TRY_AGAIN_FOR_S
        return bool(seen.problems) and young and now - seen.read_at >= _TRY_AGAIN_S

    def took(self, name: str, stamp: Stamp, contents: Contents, *, now: float) -> None:
        """The file was read; where it has problems, earlier tenants that it does not name now stay."""
        seen = self._seen.get(name)
        if seen is None:
            return
        said = contents.observations if contents.observations or not contents.problems else seen.said
        if (seen.read, seen.problems, seen.said) != (stamp, contents.problems, said):
            # Read again without a change, it gives nobody cause to compare all tenants anew.
            self.version += 1
        seen.read, seen.read_at, seen.problems, seen.said = stamp, now, contents.problems, said
        seen.busy = False

    def failed(
        self,
        name: str,
        stamp: Stamp,
        reason: str,
        *,
        now: float,
        refusal: Refusal = Refusal.MANIFEST_UNREADABLE,
    ) -> None:
        """The file could not be read; it keeps its tenants and is read again when it changes."""
        self.took(name, stamp, Contents(problems=(problem(display_text(name), refusal, reason),)), now=now)

    def busy(self, name: str, *, now: float) -> None:
        """Somebody writes the file just now: it rests anew, and is named when that lasts long."""
        seen = self._seen.get(name)
        if seen is None:
            return
        # The longer it takes, the less often it is looked at, once a second at last.
        seen.busy, seen.since = True, now + min(1.0, (now - seen.waited_since) / 4)
        self._name_endless(seen, name, now=now)

    def _name_endless(self, seen: _Seen, name: str, *, now: float) -> None:
        if now - seen.waited_since > _STILL_WRITING_S and seen.read != seen.entry.stamp:
            waiting = "The file is still being written; it is read when its writer has done and closed it."
            seen.problems = (problem(display_text(name), Refusal.MANIFEST_UNREADABLE, waiting),)
            self.version += 1

    def next_due_s(self, *, now: float) -> float:
        """Seconds until a file may be read that could not be before; infinite where none waits."""
        waiting = [
            seen.since + self._settle_s - now for seen in self._seen.values() if seen.read != seen.entry.stamp
        ]
        retries = [
            seen.read_at + _TRY_AGAIN_S - now
            for seen in self._seen.values()
            if seen.problems and now - seen.since <= _TRY_AGAIN_FOR_S
        ]
        return max(0.0, min(waiting + retries, default=float("inf")))

    def said(self) -> Mapping[str, tuple[Observation, ...]]:
        """What each file says, in the order of their names."""
        return {name: self._seen[name].said for name in sorted(self._seen)}

    def uncertain(self) -> set[str]:
        """Files that are no proof of absence: not read since they changed, or with problems."""
        return {name for name, seen in self._seen.items() if seen.problems or seen.read != seen.entry.stamp}

    def unread(self) -> bool:
        """Whether a file was never read and may still say something."""
        return any(seen.read is None for seen in self._seen.values())

    def problems(self, *, most: int) -> tuple[list[Problem], int]:
        """The first ``most`` of all files' problems, in the order of the names, and how many more there are."""
        names = sorted(name for name, seen in self._seen.items() if seen.problems)
        listed = list(islice((each for name in names for each in self._seen[name].problems), most))
        return listed, sum(len(self._seen[name].problems) for name in names) - len(listed)
