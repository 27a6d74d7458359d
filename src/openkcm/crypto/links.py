"""The ways to the customers' root keys, as one process knows them: what was heard, what it allows, what outlasts it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from openkcm.crypto.bounds import Choice, Policy
from openkcm.crypto.lease_files import Stamp
from openkcm.crypto.leases import LeaseStore, NewLease
from openkcm.crypto.logbook import Draft, Logbook
from openkcm.crypto.moments import Clocks, Moment, passed_s
from openkcm.crypto.rounds import Worth
from openkcm.crypto.windows import (
    Decision,
    Heard,
    Link,
    Verdict,
    both,
    control_decision,
    is_shared,
    store_decision,
)
from openkcm.kernel.log import get_logger
from openkcm.sdk.key_store import Outage
from openkcm.sdk.refusals import Permanent

log = get_logger(__name__)


class Change(StrEnum):
    """What somebody has to hear of at once."""

    NO_ANSWER = "no-answer"
    DOUBTFUL = "doubtful"
    SUSPENDED = "suspended"
    HEALED = "healed"


class Alarm(Protocol):
    """Told once for each change; what it does must not wait."""

    def __call__(self, watched: Watched, change: Change) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A customer-managed L2 in force here, and what its tenant wants for the time of an outage."""

    tenant: str
    key_id: bytes
    policy: Policy


class Links:
    """State in memory, in the logbook and in leases. One thread at a time; ``tick`` every few seconds."""

    def __init__(self, clocks: Clocks, logbook: Logbook, leases: LeaseStore, alarm: Alarm) -> None:
        self._clocks = clocks
        self._logbook = logbook
        self._leases = leases
        self.alarm = alarm
        self._watched: dict[bytes, Watched] = {}
        self._refusing: dict[tuple[str, str], dict[str, Heard]] = {}
        self._refused_by: dict[str, tuple[str, str]] = {}

    def load(self, revoked: Mapping[str, Stamp]) -> None:
        """What outlasted the last run is known; ``revoked`` as ``LeaseStore.load`` has it."""
        self._logbook.load()
        self._leases.load(revoked)

    def watch(self, watched: Watched) -> None:
        """The key is in force, with this policy."""
        self._watched[watched.key_id] = watched
        if watched.policy.choice is not Choice.LEASE:
            self._leases.drop([watched.key_id])

    def forget(self, key_ids: Collection[bytes]) -> None:
        """These keys are not in force any more: nothing is known of them, and nothing of them is on the disk.

        Raises:
            Permanent: STATE_UNWRITABLE.
        """
        for key_id in key_ids:
            self._watched.pop(key_id, None)
            self._forget_refusal(key_id.hex())
            self._logbook.put(key_id.hex(), None)
        self._leases.drop(key_ids)

    def answered(
        self, key_id: bytes, sent: Moment, *, l2: bytes | None = None, stamp: Stamp = (0, 0, 0)
    ) -> None:
        """The key answered a call that was sent at ``sent``: windows run anew.

        With ``l2``, which ``stamp``'s document allowed, the key has a lease of this hour, if its tenant wants one.

        Raises:
            Permanent: DISK_FULL or STATE_UNWRITABLE; there is no new lease, all else is so.
        """
        watched = self._watched.get(key_id)
        if watched is None:
            return
        link = self._logbook.links.get(key_id.hex())
        self._logbook.put(key_id.hex(), link.answered(sent) if link else Link(proved=sent))
        self._forget_refusal(key_id.hex())
        if link is not None and link.seen:
            self.alarm(watched, Change.HEALED)
        if l2 is not None and watched.policy.choice is Choice.LEASE:
            new = NewLease(tenant=watched.tenant, key_id=key_id, l2=l2, stamp=stamp, issued=sent)
            self._leases.issue([new])

    def failed(self, heard: Heard, sent: Moment) -> None:
        """A call met something else than an answer. What tightens is on the disk, or the lease is off it."""
        key_id = bytes.fromhex(heard.key_id)
        watched = self._watched.get(key_id)
        if watched is None:
            return  # a call that was on its way when the key was forgotten
        self._note_refusal(heard)
        before = self._link(key_id)
        if before is None:
            return  # it has never answered: there is nothing to lose and nothing to keep
        others = self._refusing.get((heard.identity, heard.code), {}).values()
        after = before.failed(heard, sent, shared=is_shared(heard, others))
        self._logbook.put(heard.key_id, after)
        if after.suspended and not before.suspended:
            self.alarm(watched, Change.SUSPENDED)
            self._leases.drop([key_id])
        for outage in after.seen - before.seen - {Outage.REFUSED}:
            self.alarm(watched, Change(outage.value))
        if after.seen - before.seen - {Outage.NO_ANSWER}:
            self._save_or_drop(key_id)

    def suspend(self, key_id: bytes, refused: Moment) -> None:
        """A call of ``refused`` proved to another process of the region that the root key refuses, and it has not
        answered there since: so it is here, unless it answered here later.
        """
        watched, before = self._watched.get(key_id), self._link(key_id)
        if watched is None or before is None or before.suspended or before.answered_after(refused):
            return
        self._logbook.put(key_id.hex(), before.refused_by(refused))
        self.alarm(watched, Change.SUSPENDED)
        self._leases.drop([key_id])
        self._save_or_drop(key_id)

    def agreed(self, but: frozenset[str] = frozenset(), *, at: Moment | None = None) -> None:
        """Control and this region hold the same of every tenant but these, as of ``at``, or now.

        What is known of a later agreement stays.
        """
        now, last = self._clocks.now(), self._logbook.last_agreed
        mark = self._logbook.mark
        if at is None or last is None or passed_s(at, now, mark) < passed_s(last, now, mark):
            self._logbook.agree_but(at or now, but)

    def agreed_on(self, tenants: Iterable[str]) -> None:
        """Control has just said what counts for these tenants, and this region holds it."""
        self._logbook.agree_on(self._clocks.now(), tenants)

    def decision(self, key_id: bytes) -> Decision:
        """What may be done with the key now, and for how long."""
        watched = self._watched.get(key_id)
        link = self._link(key_id)
        if watched is None or link is None:
            return Decision(Verdict.WINDOW_OVER)
        store = store_decision(link, watched.policy, self._clocks.now(), self._logbook.mark)
        return both(store, self.governed(watched.tenant, watched.policy))

    def known(self, key_id: bytes) -> Link | None:
        """What is known of the way to the key's root key; None before it first answered."""
        return self._link(key_id)

    def is_unasked(self, key_id: bytes) -> bool:
        """Whether nothing is known against the key: it has not been asked for yet, or for too long."""
        link = self._link(key_id)
        return link is None or not (link.seen or link.suspended)

    def last_agreed(self, tenant: str) -> Moment | None:
        """When this region last agreed with control on the tenant: the same object for all agreed on together."""
        return self._logbook.agreed(tenant)

    def governed(self, tenant: str, policy: Policy) -> Decision:
        """What the last agreement with control allows, for a tenant whose root key is the platform's too."""
        return control_decision(self._logbook.agreed(tenant), policy, self._clocks.now(), self._logbook.mark)

    def worth(self, key_id: bytes) -> Worth:
        """Whether asking for the key helps anybody now."""
        watched = self._watched.get(key_id)
        if watched is None or self.governed(watched.tenant, watched.policy).verdict is not Verdict.SERVE:
            return Worth.NOBODY
        return Worth.SERVED if self.decision(key_id).verdict is Verdict.SERVE else Worth.STOPPED

    def recover(self, key_id: bytes) -> bytes | None:
        """The L2 of the key's lease, where it has one and may be used."""
        if self.decision(key_id).verdict is not Verdict.SERVE:
            return None
        found = self._leases.open(key_id)
        return found[0] if found else None

    def is_kept(self, key_id: bytes) -> bool:
        """Whether the key has a lease: it may outlast this process."""
        return self._leases.kept(key_id) is not None

    def revoke(self, tenants: Collection[str], stamp: Stamp) -> None:
        """Nothing of these tenants outlasts this process; ``LeaseStore.revoke`` says what is on the disk.

        Raises:
            Permanent: STATE_UNWRITABLE; the revoke is not to be acknowledged.
        """
        self._leases.revoke(tenants, stamp)

    def know(self, revoked: Mapping[str, Stamp]) -> None:
        """No lease is older than these revokes (``LeaseStore.know``); to be told of with every document."""
        self._leases.know(revoked)

    def tick(self) -> None:
        """Time is confirmed as far as it is, and the disk has what memory has; old secrets are gone.

        Raises:
            Permanent: DISK_FULL or STATE_UNWRITABLE; it is tried again by the next one.
        """
        self.write(self.due(), [])

    def due(self) -> Draft | None:
        """What the disk does not have yet, time confirmed as far as it is."""
        self._logbook.confirm(self._clocks.now())
        return self._logbook.draft() if self._logbook.changed else None

    def write(
        self,
        draft: Draft | None,
        leases: Sequence[NewLease],
        is_due: Callable[[NewLease], bool] = lambda _: True,
    ) -> None:
        """The disk has this, old secrets are gone, and of these leases those that ``is_due`` wants are issued; from a
        thread of its own.

        Raises:
            Permanent: DISK_FULL or STATE_UNWRITABLE; what is not written is due again, but for the leases.
        """
        if draft is not None:
            self._logbook.write(draft)
        self._leases.sweep(self._logbook.mark)
        self._leases.issue(leases, is_due)

    def _link(self, key_id: bytes) -> Link | None:
        if (known := self._logbook.links.get(key_id.hex())) is not None:
            return known
        found = self._leases.kept(key_id)
        # A lease of which nothing else is known: it may have been doubtful since.
        return Link(proved=found.issued, seen=frozenset({Outage.DOUBTFUL})) if found else None

    def _note_refusal(self, heard: Heard) -> None:
        self._forget_refusal(heard.key_id)
        if heard.outage is Outage.REFUSED:
            met = (heard.identity, heard.code)
            self._refused_by[heard.key_id] = met
            self._refusing.setdefault(met, {})[heard.key_id] = heard

    def _forget_refusal(self, key_id: str) -> None:
        if (met := self._refused_by.pop(key_id, None)) is not None:
            del self._refusing[met][key_id]
            if not self._refusing[met]:
                del self._refusing[met]

    def _save_or_drop(self, key_id: bytes) -> None:
        try:
            self._logbook.save()
        except Permanent as refused:
            log.error("crypto.logbook_not_saved", alarm=True, refusal=refused.refusal, key_id=key_id.hex())
            self._leases.drop([key_id])  # needs no room; a restart knows less then, never more
