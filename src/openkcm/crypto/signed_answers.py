"""What a region answers that outlives the call is signed by it: control takes it only so, and stores nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from openkcm.crypto.contract import FORMAT, Accepted, AcceptItem, KeyRecord, Minted, MintItem, Wrap
from openkcm.crypto.covered import Item, covered_statement, covered_wrap
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
        """One L2 and an L3 for each service, in this order, of this tenant, each with its wrap."""
        statements = [record.statement for record in minted.records]
        wanted = [("L2", ""), *(("L3", service) for service in item.services)]
        return (
            minted.tenant == item.tenant
            and all(statement.tenant == item.tenant for statement in statements)
            and [(statement.level, statement.service) for statement in statements] == wanted
            and all(record.wrap.key_id == record.statement.key_id for record in minted.records)
            and all(self._stated(record) and self._wrapped(record.wrap) for record in minted.records)
        )

    def accepted(self, item: AcceptItem, accepted: Accepted) -> bool:
        """This region's own wrap of the L2 that was handed over to it."""
        return (
            (accepted.tenant, accepted.wrap.key_id) == (item.statement.tenant, item.statement.key_id)
            and accepted.wrap.holder == self.region
            and self._wrapped(accepted.wrap)
        )

    def _stated(self, record: KeyRecord) -> bool:
        statement = record.statement
        return self._is(Record.STATEMENT, statement.signature, *covered_statement(statement))

    def _wrapped(self, wrap: Wrap) -> bool:
        return self._is(Record.WRAP, wrap.signature, *covered_wrap(wrap))

    def _is(self, record: Record, signature: Signature, *covered: Item) -> bool:
        try:
            now = datetime.now(UTC)
            verify(self.pins, signature, record, FORMAT, *covered, now=now, signer=self.region, stored=True)
        except (Refused, ValueError):  # a number that no record of ours can hold
            return False
        return True
