"""What a region answers that outlives the call is signed by it: control takes it only so, and stores nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from openkcm.crypto import believed
from openkcm.crypto.contract import (
    FORMAT,
    Accepted,
    AcceptItem,
    CheckpointItem,
    KeyRecord,
    Minted,
    MintItem,
    RenewItem,
    ShowItem,
    Shown,
    SignedCheckpoint,
    Wrap,
)
from openkcm.crypto.covered import Item, covered_statement, covered_wrap
from openkcm.parties.checkpoint import read_checkpoint
from openkcm.parties.labels import Record
from openkcm.parties.pins import Pins
from openkcm.parties.signed import Signature, verify
from openkcm.sdk.refusals import Refused


@dataclass(frozen=True, slots=True)
class Signed:
    """Whether the answer of ``region`` belongs to what was asked and carries this very region's signatures.

    A mint that is repeated answers with what was made before, so a key of the region that signs no more still counts.
    """

    region: str
    pins: Pins

    def minted(self, item: MintItem, minted: Minted) -> bool:
        """What was asked for, every statement and wrap of it signed."""
        return believed.minted_belongs(item, minted) and all(
            self._stated(record) and self._wrapped(record.wrap) for record in minted.records
        )

    def renewed(self, item: RenewItem, minted: Minted) -> bool:
        """What was asked for, every wrap signed by this region, and every statement of a key that is new.

        An L3 that a new L2 wraps is not new: whoever asked compares its statement with the one that is known.
        """
        new = minted.records if item.services else minted.records[:1]
        return (
            believed.renewed_belongs(item, minted)
            and all(self._stated(record) for record in new)
            and all(self._wrapped(record.wrap) for record in minted.records)
        )

    def accepted(self, item: AcceptItem, accepted: Accepted) -> bool:
        """This region's own wrap of the L2 that was handed over to it."""
        wrap = accepted.wrap
        return (
            believed.accepted_belongs(item, accepted) and wrap.holder == self.region and self._wrapped(wrap)
        )

    def shown(self, item: ShowItem, shown: Shown) -> bool:
        """Keys of this tenant alone, each stated and wrapped by regions that are pinned, an L2 wrapped by this one.

        Control's own signatures are looked at by whoever asked: they prove what counts.
        """
        return believed.shown_belongs(item, shown) and all(
            self._is(Record.STATEMENT, r.statement.signature, *covered_statement(r.statement), signer=None)
            and self._is(Record.WRAP, r.wrap.signature, *covered_wrap(r.wrap), signer=r.wrap.holder or None)
            and r.wrap.holder in ("", self.region)
            for r in shown.records
        )

    def checkpoint(self, item: CheckpointItem, given: SignedCheckpoint) -> bool:
        """This very region's checkpoint of the tenant, which covers the log that it was shown."""
        try:
            checkpoint = read_checkpoint(self.pins, given, tenant=item.tenant, now=datetime.now(UTC))
        except Refused:
            return False
        return (checkpoint.region, checkpoint.log) == (self.region, item.log)

    def _stated(self, record: KeyRecord) -> bool:
        statement = record.statement
        return self._is(
            Record.STATEMENT, statement.signature, *covered_statement(statement), signer=self.region
        )

    def _wrapped(self, wrap: Wrap) -> bool:
        return self._is(Record.WRAP, wrap.signature, *covered_wrap(wrap), signer=self.region)

    def _is(self, record: Record, signature: Signature, *covered: Item, signer: str | None) -> bool:
        try:
            now = datetime.now(UTC)
            verify(self.pins, signature, record, FORMAT, *covered, now=now, signer=signer, stored=True)
        except (Refused, ValueError):  # a number that no record of ours can hold
            return False
        return True
