"""The folder as a source of tenants.

The cursor is one sum over everything told (72 characters for one tenant or 5,000, since it is stored with every batch).
After a restart an equal sum means that nothing has to be told again; otherwise every tenant is told once more, which
the core takes as it is. What went away while nobody looked is found by comparing the folder with ``known``, the core's
own list: no state file is kept, so that any worker can go on with the folder.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

from openkcm.sdk.checks import Checked
from openkcm.sdk.plain_text import display_text
from openkcm.sdk.refusals import Refusal, Temporary
from openkcm.sdk.tenant_source import Batch, Known, Observation, Problem, TenantStatus
from openkcm_tenants_directory.files import Files, is_large
from openkcm_tenants_directory.folder import MARK, Look, Stamp, Unreadable, look, read, unavailable
from openkcm_tenants_directory.ledger import Ledger
from openkcm_tenants_directory.manifests import Contents, contents_of, problem
from openkcm_tenants_directory.settings import DirectorySettings
from openkcm_tenants_directory.status import StatusFiles
from openkcm_tenants_directory.waking import Waking

MAX_BATCH = 100
_BREATH_S = 0.02
_COMPARE_S = 2.0
_UNWATCHED_POLL_S = 0.2
# A look may take at most this part of the time, however often the folder changes and however large it is.
_LOOKING_SHARE = 0.2
_LONGEST_PAUSE_S = 0.15
_PART_BYTES = 524_288
_BYTES_OF_TENANT = 32

Due = Sequence[tuple[str, Stamp]]


def part_of(due: Due, *, tenants: int) -> tuple[Due, Due]:
    """What is read before anything is told of it, and the rest.

    Every part costs a comparison with all ``tenants`` that are told: parts grow with them, in files and in bytes.
    """
    number, left_bytes = 0, max(_PART_BYTES, tenants * _BYTES_OF_TENANT)
    for _, stamp in due[: max(MAX_BATCH, tenants // 4)]:
        left_bytes -= stamp[2]
        # The smaller ones are told before the first large one is read.
        if number and (left_bytes < 0 or is_large(stamp) > is_large(due[0][1])):
            break
        number += 1
    return due[:number], due[number:]


class DirectorySource:
    """Tenants from a folder of manifests; their status goes beside the manifests."""

    def __init__(
        self,
        settings: DirectorySettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._wall_clock = wall_clock
        self._place: tuple[int, int] | None = None
        self._status = StatusFiles(settings.path)
        self._waking = Waking(settings.path)

    @property
    def name(self) -> str:
        return "directory"

    async def list(self) -> Sequence[Observation]:
        files = Files(settle_s=0.0, max_bytes=self._settings.max_bytes)
        ledger = self._ledger(files, ())
        files.saw(await asyncio.to_thread(look, self._settings.path), now=self._clock())
        due = files.due(now=self._clock(), wall_s=self._wall_clock())
        await asyncio.to_thread(self._read_into, files, due)
        return tuple(ledger.settle().values())

    async def watch(self, cursor: str | None, known: Sequence[Known] = ()) -> AsyncIterator[Batch]:
        files = Files(settle_s=self._settings.settle_s, max_bytes=self._settings.max_bytes)
        ledger = self._ledger(files, known)
        # With a cursor, what is to be told is known when every file has been read once; without one, nothing waits.
        comparing = cursor
        began = self._clock()
        said: list[Problem] | None = None
        self._waking.restart()
        while True:
            self._waking.rest()
            looked_at = self._clock()
            seen = await asyncio.to_thread(look, self._settings.path)
            self._check_place(seen, ledger)
            look_s = self._clock() - looked_at
            files.saw(seen, now=self._clock())
            due: Due = files.due(now=self._clock(), wall_s=self._wall_clock())
            while due:
                part, due = part_of(due, tenants=ledger.tenants)
                await asyncio.to_thread(self._read_into, files, part)
                if comparing is None:
                    for batch in self._batches(ledger):
                        yield batch
                if is_large(part[-1][1]):
                    # What came meanwhile goes before the next large file.
                    break
            if comparing is not None and (not files.unread() or self._clock() - began > _COMPARE_S):
                ledger.trust(comparing)
                comparing = None
            if comparing is None:
                for batch in self._batches(ledger):
                    yield batch
            problems = ledger.problems()
            if problems != said:
                said = problems
                yield Batch(cursor=ledger.cursor, problems=problems, problems_complete=True)
            await self._sleep(files, ledger, look_s)

    async def report(self, statuses: Sequence[TenantStatus]) -> None:
        await asyncio.to_thread(self._status.write, statuses)

    async def check(self) -> Sequence[Checked]:
        """Whether the folder can be read, and its status files written."""
        path = self._settings.path
        try:
            seen = await asyncio.to_thread(look, path)
        except Temporary as refused:
            action = refused.remedy.action if refused.remedy else ""
            return [Checked(level="bad", said=refused.message, action=action)]
        found = [Checked(level="ok", said=f"{path}: {len(seen.entries)} manifests.")]
        if not os.access(path, os.W_OK):
            said = f"{path} may not be written: no status stands beside the manifests."
            found.append(Checked(level="warn", said=said, action="Let the worker's user write there."))
        return found

    async def aclose(self) -> None:
        await self._waking.aclose()

    def _ledger(self, files: Files, known: Sequence[Known]) -> Ledger:
        return Ledger(
            files,
            known=known,
            confirm_s=self._settings.confirm_s,
            all_gone_confirm_s=self._settings.all_gone_confirm_s,
        )

    def _batches(self, ledger: Ledger) -> Iterator[Batch]:
        part: list[Observation] = []
        for observation in ledger.news(now=self._clock()):
            part.append(observation)
            if len(part) == MAX_BATCH:
                yield Batch(cursor=ledger.cursor, observations=tuple(part))
                part = []
        if part:
            yield Batch(cursor=ledger.cursor, observations=tuple(part))

    def _read_into(self, files: Files, due: Due) -> None:
        for name, stamp in due:
            now = self._clock()
            try:
                content = read(self._settings.path, name, max_bytes=self._settings.max_bytes, seen=stamp)
            except Unreadable as unreadable:
                if unreadable.again:
                    files.busy(name, now=now)
                else:
                    files.failed(name, stamp, f"The file was not read: {unreadable.reason}.", now=now)
                continue
            files.took(name, stamp, self._contents(name, content), now=now)

    def _contents(self, name: str, content: bytes) -> Contents:
        try:
            return contents_of(content, file_name=name, issuer=self._settings.issuer)
        except Exception:  # noqa: BLE001  # never seen; but one file, whatever is in it, must not stop the others
            reason = "The file could not be understood."
            return Contents(problems=(problem(display_text(name), Refusal.MANIFEST_UNREADABLE, reason),))

    def _check_place(self, seen: Look, ledger: Ledger) -> None:
        """Refuse to believe an empty folder that may be a mount point without its mount."""
        moved = self._place is not None and self._place != seen.place
        if moved:
            self._waking.restart()
        if not seen.entries and ledger.tenants:
            stranger = moved or self._place is None
            if stranger and not seen.has_traces:
                raise unavailable(
                    f"The folder {self._settings.path} is empty, but {ledger.tenants} tenants came from it: perhaps "
                    f"it is not mounted. If all were removed on purpose, make an empty file {MARK} in it."
                )
        self._place = seen.place

    async def _sleep(self, files: Files, ledger: Ledger, look_s: float) -> None:
        """Until something changed or is due, but never so short that looking would fill the time."""
        now = self._clock()
        # A file that rests before it is read is waited for no longer than that; the pause comes after it.
        resting = files.next_due_s(now=now) <= self._settings.settle_s
        pause_s = 0.0 if resting else min(look_s * (1 / _LOOKING_SHARE - 1), _LONGEST_PAUSE_S)
        await asyncio.sleep(max(_BREATH_S, pause_s))
        now = self._clock()
        longest = (
            self._settings.poll_s if self._waking.works else min(self._settings.poll_s, _UNWATCHED_POLL_S)
        )
        timeout_s = min(longest, files.next_due_s(now=now), ledger.next_due_s(now=now))
        await self._waking.wait(timeout_s)
