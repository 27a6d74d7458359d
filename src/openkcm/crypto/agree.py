"""Agreeing with control on what this region holds: every governance window runs from the last time.

The newest agreement stands in the region's database for its other processes, with the moment at which it was made, so
that a row which somebody keeps or puts back is worth no more than it was, and with what was agreed on, so that it is
worth nothing in a process from which the database hides a document.
"""

from __future__ import annotations

from collections.abc import Sequence
from hmac import compare_digest
from typing import Final

import msgspec

from openkcm.crypto import labels
from openkcm.crypto.contract import (
    Agreed,
    AgreeItem,
    HeldDocument,
    HeldItem,
    HeldList,
    covered_agreement,
    document_digest,
)
from openkcm.crypto.here import Here
from openkcm.crypto.moments import Moment
from openkcm.crypto.outcomes import attempt, good
from openkcm.crypto.rootfile import Root
from openkcm.crypto.told import CHANNEL
from openkcm.crypto.view import View
from openkcm.kernel.db import Role, Transaction, transaction
from openkcm.kernel.log import get_logger
from openkcm.parties.labels import Record
from openkcm.sdk.refusals import Permanent, Refusal, Refused, Remedy

log = get_logger(__name__)

_PAGE: Final = "reference/crypto-service#agreement"
_LISTED: Final = 5000
_WRITE: Final = """insert into agreement as known (root_version, record, mac) values ($1, $2, $3)
on conflict ("only") do update set root_version = excluded.root_version, record = excluded.record, mac = excluded.mac"""
_READ: Final = "select root_version, record, mac from agreement"


class _Record(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    at: Moment
    but: tuple[str, ...]
    tenants: int
    digest: str


async def agree(here: Here, items: Sequence[AgreeItem]) -> list[Agreed | Refused]:
    """Where control believes what is so, every window but those of ``but`` runs anew, in all processes of this region.

    Refused alone: a bad signature (SIGNATURE_INVALID, PARTY_UNKNOWN), another region's item (BAD_REQUEST).
    """
    checked = await attempt(items, lambda item: _checked(here, item))
    asked = good(checked)
    async with transaction(Role.OWN) as tx:
        if asked and await tx.fetchval("select changes from region") != here.state.change:
            await here.state.catch_up(tx)
        same = [item for item in asked if _same(here, item)]
        for item in same:
            here.roots.l1.clocks.heard_control(item.at)
            here.roots.links.agreed(frozenset(item.but))
            await _write(tx, here, item)
    if same:
        here.roots.allowed.forget_all()
    return await attempt(checked, lambda item: Agreed(same=any(one is item for one in same)))


async def held(here: Here, items: Sequence[HeldItem]) -> list[HeldList | Refused]:
    """The applied documents in order, by numbers and hash."""
    return await attempt(items, lambda item: _list(here, item))


async def take_agreement(here: Here, tx: Transaction) -> None:
    """What another process of this region agreed with control counts here, too, as of the moment at which it did, once
    this one holds the same.
    """
    row = await tx.fetchrow(_READ)
    if row is None or row["record"] == here.roots.agreement:
        return
    if not compare_digest(row["mac"], _mac(here.root, row["root_version"], row["record"])):
        here.roots.agreement = row["record"]
        log.error("crypto.agreement_refused", alarm=True)
        return
    try:
        said = msgspec.msgpack.decode(row["record"], type=_Record)
    except msgspec.MsgspecError:
        return  # of a process with another version, as while an update is rolled out
    if said.at.control is not None and (said.tenants, said.digest) == _known(here, said.but):
        here.roots.agreement = row["record"]
        here.roots.links.agreed(frozenset(said.but), at=said.at)
        here.roots.allowed.forget_all()


def _checked(here: Here, item: AgreeItem) -> AgreeItem:
    here.verify(item.signature, Record.AGREEMENT, *covered_agreement(item), signer=item.signature.signer)
    if item.at.tzinfo is None:
        raise ValueError("a time without its zone")
    if item.region != here.region:
        raise Permanent(
            Refusal.BAD_REQUEST,
            "This agreement is another region's.",
            remedy=Remedy("Find out who sends another region's messages here.", "operator", _PAGE),
        )
    return item


def _same(here: Here, item: AgreeItem) -> bool:
    apart = [view for tenant in set(item.but) if (view := here.state.views.get(tenant)) is not None]
    digest = here.state.digest
    for view in apart:
        digest ^= view.digest
    return (item.tenants, item.digest) == (len(here.state.views) - len(apart), f"{digest:064x}")


def _known(here: Here, but: tuple[str, ...]) -> tuple[int, str]:
    """How many documents this process knows of other tenants, and their sum: those that it has acknowledged, too, which
    its database does not show it. Such a tenant is not served, and cuts no other off.
    """
    state = here.state
    known = {tenant: view.mark for tenant, view in state.views.items()}
    for tenant in state.troubled:
        marks = [mark for mark in (known.get(tenant), state.marks.marks.get(tenant)) if mark is not None]
        if marks:
            known[tenant] = max(marks)
    digest = state.digest
    for tenant in {*but, *state.troubled}:
        view = state.views.get(tenant)
        digest ^= view.digest if view is not None else 0
        if tenant in known and tenant not in but:
            digest ^= document_digest(tenant, known[tenant].generation, known[tenant].hash)
    return len(known.keys() - set(but)), f"{digest:064x}"


def _list(here: Here, item: HeldItem) -> HeldList:
    tenants = sorted(tenant for tenant in here.state.views if tenant > item.after)
    return HeldList(
        documents=tuple(_document(here.state.views[tenant]) for tenant in tenants[:_LISTED]),
        more=len(tenants) > _LISTED,
    )


def _document(view: View) -> HeldDocument:
    mark, words = view.mark, len(view.words)
    return HeldDocument(
        tenant=view.tenant, epoch=mark.epoch, generation=mark.generation, hash=mark.hash, words=words
    )


async def _write(tx: Transaction, here: Here, item: AgreeItem) -> None:
    record = msgspec.msgpack.encode(_Record(here.roots.l1.clocks.now(), item.but, item.tenants, item.digest))
    version = here.root.current.version
    await tx.execute(_WRITE, version, record, _mac(here.root, version, record))
    await tx.execute(f"notify {CHANNEL}")
    here.roots.agreement = record


def _mac(root: Root, version: int, record: bytes) -> bytes:
    return root.sealing(version).authenticate(labels.AGREEMENT, record)
