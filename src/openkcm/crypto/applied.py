"""The applied state in memory: what every request is decided by, confirmed by the database each second."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from openkcm.crypto.applied_rows import SINCE, AppliedRow, applied_mac
from openkcm.crypto.contract import FORMAT, STRICTNESS, SignedDesired, covered_desired
from openkcm.crypto.hierarchy import mismatch
from openkcm.crypto.mark import HighWater
from openkcm.crypto.rootfile import Root
from openkcm.crypto.tightenings import Tight, followed, read_tight, tightened
from openkcm.crypto.view import View, read
from openkcm.kernel.clock import Clock
from openkcm.kernel.db import Transaction
from openkcm.kernel.log import get_logger
from openkcm.parties.labels import Record
from openkcm.parties.pins import Pins
from openkcm.parties.signed import Signature, verify
from openkcm.sdk.refusals import Permanent, Refusal, Refused, Remedy, Temporary
from openkcm.serving.calls import again

log = get_logger(__name__)


@dataclass(slots=True)
class AppliedState:
    """Views by tenant. A tenant in ``troubled`` is not served, and why; its view, if any, is not used."""

    root: Root
    pins: Pins
    marks: HighWater
    clock: Clock
    confirm_s: float
    views: dict[str, View] = field(default_factory=dict)
    troubled: dict[str, Refused] = field(default_factory=dict)
    epoch: int = 0
    change: int = 0
    digest: int = 0
    confirmed_at: float = float("-inf")
    tight: dict[str, tuple[Tight, ...]] = field(default_factory=dict)
    set_back: bool = False
    """Whether the database has shown less than this process has acknowledged: it was restored or tampered with."""
    followed: Callable[[Sequence[View]], None] = lambda _: None
    """Hears of the views that another process of this region, or a tightening, has brought into force."""
    _moved: set[str] = field(default_factory=set)

    @property
    def confirmed(self) -> bool:
        """Whether the database has confirmed this state lately."""
        return self.clock.monotonic() - self.confirmed_at <= self.confirm_s

    def view(self, tenant: str, now: float | None = None) -> View:
        """What counts for this tenant now; ``now`` of who has just asked the clock (monotonic seconds).

        Raises:
            Temporary: UNAVAILABLE; the database has not confirmed the state for too long, or the tenant waits for
                an exchange with control.
            Permanent: TENANT_UNKNOWN, or RECORD_MISMATCH for a row that was tampered with.
        """
        at = self.clock.monotonic() if now is None else now
        if at - self.confirmed_at > self.confirm_s:  # as ``confirmed``, which would ask the clock once more
            raise Temporary(
                Refusal.UNAVAILABLE,
                "This region has not been able to confirm its state with its database, so it serves no key.",
                remedy=Remedy(
                    "Look at the region's database.", "operator", "reference/crypto-service#unconfirmed"
                ),
                retry_after_s=1.0,
            )
        if self.troubled and (trouble := self.troubled.get(tenant)) is not None:
            raise again(trouble)
        if (view := self.views.get(tenant)) is None:
            raise Permanent(
                Refusal.TENANT_UNKNOWN,
                f"This region holds nothing of a tenant '{tenant}'.",
                remedy=Remedy(
                    "Check the tenant's id and its region set.", "caller", "reference/crypto-service#refusals"
                ),
            )
        return view

    def put(self, view: View, *, change: int) -> None:
        """The view counts from now on, unless a newer one came first."""
        self.change = max(self.change, change)
        old = self.views.get(view.tenant)
        if old is not None and old.mark > view.mark:
            return
        if there := self.tight.get(view.tenant):
            view = tightened(view, there)
        self.digest ^= view.digest ^ (old.digest if old else 0)
        self.views[view.tenant] = view
        self._moved.add(view.tenant)
        self.troubled.pop(view.tenant, None)
        self.epoch = max(self.epoch, view.mark.epoch)

    def tighten(self, rows: Iterable[Tight]) -> None:
        """These tightenings count beside the documents, from now on; of those that were lifted, not that very one.

        Raises:
            Permanent: STATE_UNWRITABLE; what they stop may be on the disk still, and all of them count.
        """
        moved: dict[str, View] = {}
        for row in rows:
            self.change = max(self.change, row.change)
            self.tight[row.tenant] = followed(self.tight.get(row.tenant, ()), row)
            if (old := self.views.get(row.tenant)) is not None:
                view = tightened(old, self.tight[row.tenant])
                self.digest ^= view.digest ^ old.digest
                moved[row.tenant] = self.views[row.tenant] = view
                self._moved.add(row.tenant)
        if moved:
            self.followed(list(moved.values()))

    def take_moved(self) -> set[str]:
        """The tenants that have another view than when this was asked last."""
        moved, self._moved = self._moved, set()
        return moved

    async def refresh(self, tx: Transaction) -> None:
        """What other processes of this region applied is in memory too, and the state is confirmed."""
        asked_at = self.clock.monotonic()
        change = await tx.fetchval("select changes from region")
        if change != self.change:
            await self.catch_up(tx)
        self.confirmed_at = asked_at

    async def load_all(self, tx: Transaction) -> None:
        """Every stored document is in memory and the state confirmed; who is missing or old is not served."""
        self.epoch = int(str(await tx.fetchval("select epoch from region")))
        await self.catch_up(tx)
        for tenant in self.marks.marks.keys() - self.views.keys() - self.troubled.keys():
            self.set_back = True
            self._trouble(tenant, _behind(tenant))
        await self.refresh(tx)

    async def catch_up(self, tx: Transaction) -> None:
        """Every row that changed since is in memory; ``change`` says up to where nothing was missed.

        Raises:
            Permanent: DISK_FULL or STATE_UNWRITABLE; all of it is read again the next time.
        """
        since = self.change
        reached = int(str(await tx.fetchval("select changes from region")))
        tight = await read_tight(tx, since=since)
        rows = await tx.fetch(SINCE, since)
        believed = [row for row in tight if self._believed(row)]
        try:
            self.tighten(row for row in believed if not row.lifted)
            self.load(AppliedRow(**dict(row)) for row in rows)
            self.tighten(row for row in believed if row.lifted)  # by a document that is in memory now
        except Refused:
            self.change = since
            raise
        # What was committed between these statements may have been seen in part, and a row's own number proves nothing.
        self.change = min(self.change, reached)

    def load(self, rows: Iterable[AppliedRow]) -> None:
        """These rows are in memory: served where they are whole, signed and not older than what is known.

        The mark of each is on the disk before it is served, whichever process of this region applied it: a database
        that is set back later lifts no block in this one.

        Raises:
            Permanent: DISK_FULL; then only what stops something counts. STATE_UNWRITABLE; what it stops may be on the
                disk still.
        """
        taken: list[tuple[View, int]] = []
        for row in rows:
            self.change = max(self.change, row.change)
            try:
                view = self._checked(row)
            except Refused as refused:
                self._trouble(row.tenant, refused)
                continue
            known = max(view.mark, self.marks.marks.get(row.tenant, view.mark))
            if row.tenant in self.views:
                known = max(known, self.views[row.tenant].mark)
            if view.mark < known:
                self.set_back = True
                self._trouble(row.tenant, _behind(row.tenant))
            else:
                taken.append((view, row.change))
        try:
            self.marks.raise_to((view.tenant, view.mark) for view, _ in taken)
        except Refused:
            self._take([(view, change) for view, change in taken if self._only_stops(view)])
            raise
        self._take(taken)

    def _take(self, taken: Sequence[tuple[View, int]]) -> None:
        for view, change in taken:
            self.put(view, change=change)
        self.followed([self.views[view.tenant] for view, _ in taken])

    def _only_stops(self, view: View) -> bool:
        """Whether it lets nothing be used for more than what counts now: such a document waits for no disk."""
        now = self.views.get(view.tenant)
        return (
            now is not None
            and STRICTNESS.index(view.access) >= STRICTNESS.index(now.access)
            and all(view.services.get(name) in (access, "revoked") for name, access in now.services.items())
        )

    def _believed(self, row: Tight) -> bool:
        if not row.whole(self.root):
            # Whoever can write here can deny service, so a tightening that nobody signed for stops the tenant.
            self._trouble(row.tenant, mismatch(f"A tightening of tenant '{row.tenant}'"))
            return False
        return True

    def _checked(self, row: AppliedRow) -> View:
        if not hmac.compare_digest(row.mac, applied_mac(self.root, row)):
            raise mismatch(f"The applied state of tenant '{row.tenant}'")
        signature = msgspec.json.decode(row.signature, type=Signature)
        signed = SignedDesired(document=row.document, signature=signature)
        verify(
            self.pins,
            signature,
            Record.DESIRED,
            FORMAT,
            *covered_desired(row.document),
            now=self.clock.now(),
            stored=True,
        )
        view = read(signed)
        if (view.tenant, view.mark.hash) != (row.tenant, row.hash.hex()) or view.stamp != (
            row.serial,
            row.epoch,
            row.generation,
        ):
            raise mismatch(f"The applied state of tenant '{row.tenant}'")
        return view

    def _trouble(self, tenant: str, refused: Refused) -> None:
        log.error("crypto.tenant_not_served", tenant=tenant, refusal=refused.refusal, reason=str(refused))
        self.troubled[tenant] = refused


def _behind(tenant: str) -> Temporary:
    return Temporary(
        Refusal.UNAVAILABLE,
        f"The database shows an older state of tenant '{tenant}' than this region has acknowledged; it is served "
        "again as soon as control has sent the newest.",
        remedy=Remedy(
            "Find out who set the region's database back.",
            "operator",
            "reference/crypto-service#high-water-mark",
        ),
        retry_after_s=2.0,
    )
