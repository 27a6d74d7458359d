"""Proving rows of an export: every chain is sealed again, from its start to where a signed checkpoint ends. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import msgspec

from openkcm.audit.verify import Head, Recorded, Sealing
from openkcm.crypto.contract import SignedCheckpoint
from openkcm.parties.checkpoint import ChainPoints, Checkpoint, Point, ProcessWord
from openkcm.sdk.refusals import Refused
from openkcm.uses.rows import FORMAT, Header, Row, count_of, recorded_of

#: A process that has not written for so long does not serve any more, or cannot write.
SILENT_S: Final = 60.0
Reading = Callable[[SignedCheckpoint, str], Checkpoint]
"""What a checkpoint says, of this tenant; raises ``Refused`` where no pinned region signed it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """A chain from the entry after ``after`` up to ``number``; ``wrong`` says what is not so, or nothing."""

    chain: str
    after: int
    number: int
    uses: int
    wrong: str = ""


@dataclass(slots=True)
class Proof:
    """What the rows prove. ``wrong`` says what is not so of the whole; ``remarks`` is what a reader has to know."""

    tenant: str = ""
    of: str = ""
    chains: list[Proven] = field(default_factory=list)
    checkpoints: list[Checkpoint] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Nothing is wrong."""
        return not self.wrong and not any(chain.wrong for chain in self.chains)

    @property
    def until(self) -> datetime | None:
        """Until when everything is proven: the oldest of the checkpoints."""
        return min((one.made_at for one in self.checkpoints), default=None)


class Started(msgspec.Struct, frozen=True):
    """The detail of a process's ``start``."""

    ended: str = ""
    written_until: str = ""


class Prover:
    """Takes rows in the file's order. ``known`` are points that earlier checkpoints signed, by chain and number."""

    def __init__(self, reading: Reading, known: Mapping[str, Mapping[int, str]] | None = None) -> None:
        self.proof = Proof()
        self._reading = reading
        self._known = known or {}
        self._heads: dict[str, ChainPoints] = {}
        self._words: dict[str, tuple[Checkpoint, ProcessWord]] = {}
        self._sealing: Sealing | None = None
        self._after = self._uses = 0
        self._wrong = ""
        self._since: datetime | None = None
        self._open_start = False
        self._last_verb: dict[str, str] = {}
        self._rows = 0
        self._ended = False

    def take(self, row: Row) -> None:
        """This row is the next."""
        if self._ended or (row.kind == "header") != (not self.proof.tenant):
            self._say("the rows do not stand in their order")
            return
        if row.kind == "header":
            self._header(row)
        elif row.kind == "checkpoint":
            self._checkpoint(row)
        elif row.kind == "start":
            self._close()
            self._start(row)
        elif row.kind == "entry":
            self._entry(row)
        else:
            self._close()
            self._ended = True
            if row.number != self._rows:
                self._say(f"the end says {row.number} entries, and there are {self._rows}")

    def done(self) -> Proof:
        """What all rows came to."""
        self._close()
        if not self.proof.tenant:
            self._say("it is empty")
        elif not self._ended:
            self._say("it is cut short")
        elif not self.proof.checkpoints:
            self._say("no checkpoint is in it: nothing says that these are all entries")
        seen = {chain.chain for chain in self.proof.chains}
        for missing in sorted(self._heads.keys() - seen):
            self._say(f"the entries of {missing} are missing")
        for process, (checkpoint, word) in self._words.items():
            self._look_at(process, checkpoint, word)
        return self.proof

    def _header(self, row: Row) -> None:
        self.proof.tenant, self.proof.of = row.chain, row.verb
        try:
            asked = msgspec.json.decode(row.detail, type=Header)
            if asked.since:
                self._since = datetime.fromisoformat(asked.since).astimezone(UTC)
                self.proof.remarks.append(
                    f"It begins with what was written from {self._since:%Y-%m-%d %H:%M:%S} UTC."
                )
        except (msgspec.MsgspecError, ValueError):
            asked = Header(format=0)
        if asked.format != FORMAT or row.verb not in ("uses", "config"):
            self._say("its format is not known here")

    def _checkpoint(self, row: Row) -> None:
        try:
            signed = msgspec.json.decode(row.detail, type=SignedCheckpoint)
            checkpoint = self._reading(signed, self.proof.tenant)
        except (msgspec.MsgspecError, Refused) as wrong:
            self._say(f"a checkpoint is not believed: {wrong}")
            return
        if any(one.region == checkpoint.region for one in self.proof.checkpoints):
            self._say(f"there are two checkpoints of region {checkpoint.region}")
            return
        self.proof.checkpoints.append(checkpoint)
        if self.proof.of == "config":
            if checkpoint.log is not None:
                points = ChainPoints(chain=self.proof.tenant, floor=Point(), head=checkpoint.log)
                self._heads[self.proof.tenant] = points
            return
        self._heads |= {points.chain: points for points in checkpoint.chains}
        for word in checkpoint.processes:
            self._words[f"/{checkpoint.region}/{word.process}"] = (checkpoint, word)

    def _start(self, row: Row) -> None:
        self._after, self._uses, self._wrong = row.number, 0, ""
        head = self._heads.get(row.chain)
        if head is None:
            self._wrong = "no checkpoint speaks of it"
        elif row.number < head.floor.number:
            self._wrong = f"entries up to {head.floor.number} were deleted, and it starts after {row.number}"
        elif row.number > head.floor.number and self._since is None:
            self._wrong = f"it starts after entry {row.number}, and what was before is missing"
        elif row.number == head.floor.number and row.hash != head.floor.hash:
            self._wrong = "it does not follow what the checkpoint says was deleted before it"
        # Of a part the last entry before it has to be there: nothing between it and the first one is left out.
        self._open_start = head is not None and row.number > head.floor.number
        self._sealing = Sealing(row.chain, Head(number=row.number, hash=_unhex(row.hash)))
        self._compare(row.chain, row.number, row.hash)

    def _entry(self, row: Row) -> None:
        self._rows += 1
        if self._sealing is None:
            self._say("an entry stands before the start of its chain")
            return
        try:
            entry = recorded_of(row)
            follows = self._sealing.follow(entry)
        except ValueError:  # a time, number or text that no entry of ours can have
            self._sealing.wrong = self._sealing.wrong or f"entry {row.number} was changed"
            return
        if not follows:
            return
        if self._open_start:
            self._open_start = False
            if self._since is None or entry.at >= self._since:
                self._wrong = self._wrong or f"what was before entry {row.number} is missing"
        self._uses += count_of(entry.detail)
        if row.count != count_of(entry.detail):
            self._wrong = self._wrong or f"the count of entry {row.number} is not what it says"
        self._compare(row.chain, row.number, row.hash)
        self._last_verb[row.chain] = row.verb
        if self.proof.of == "uses":
            self._remark(entry)

    def _compare(self, chain: str, number: int, hash_: str) -> None:
        known = self._known.get(chain, {}).get(number)
        if known is not None and known != hash_:
            self._wrong = f"entry {number} is another than an earlier checkpoint signed"

    def _close(self) -> None:
        sealing, self._sealing = self._sealing, None
        if sealing is None:
            return
        points = self._heads.get(sealing.chain)
        wrong = sealing.wrong or self._wrong or ("its first entry is missing" if self._open_start else "")
        if points is not None and not wrong:
            wrong = sealing.end(Head(number=points.head.number, hash=_unhex(points.head.hash)))
        self.proof.chains.append(
            Proven(
                chain=sealing.chain, after=self._after, number=sealing.number, uses=self._uses, wrong=wrong
            )
        )

    def _remark(self, entry: Recorded) -> None:
        region = "/".join(entry.chain.split("/")[1:])
        at = f"{entry.at:%Y-%m-%d %H:%M:%S} UTC"
        if entry.verb == "start":
            said = _started(entry.detail)
            if said.ended:
                since = (
                    f"{said.written_until[:19].replace('T', ' ')} UTC"
                    if said.written_until
                    else "an unknown time"
                )
                self.proof.remarks.append(
                    f"Process {region} ended without its last entries between {since} and {at}: "
                    "what it counted in the last 10 s before its end is in no entry."
                )
        elif entry.verb == "drop":
            self.proof.remarks.append(
                f"Process {region} could not keep apart {count_of(entry.detail)} uses until {at}: "
                "only their number is known."
            )
        elif entry.verb == "doubt":
            self.proof.remarks.append(
                f"Process {region} found at {at} that somebody else had written the head of {entry.chain}."
            )
            self._wrong = self._wrong or f"the head before entry {entry.number} was not this region's"

    def _look_at(self, process: str, checkpoint: Checkpoint, word: ProcessWord) -> None:
        silent_s = (checkpoint.made_at - word.written_until).total_seconds()
        if silent_s > SILENT_S and self._last_verb.get(process) != "stop":
            self.proof.remarks.append(
                f"Process {process[1:]} has written nothing since {word.written_until:%Y-%m-%d %H:%M:%S} UTC: "
                "if it did not stop orderly then, what it counted in its last 10 s is in no entry."
            )

    def _say(self, wrong: str) -> None:
        if wrong not in self.proof.wrong:
            self.proof.wrong.append(wrong)


def _unhex(text: str) -> bytes:
    """The bytes, or none where it is no hex: no entry has such a hash."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


def _started(detail: bytes) -> Started:
    try:
        return msgspec.json.decode(detail, type=Started)
    except msgspec.MsgspecError:
        return Started()
