"""What control believes of a region's answer: that it is to what was asked, and that its words can be shown."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from openkcm.crypto.contract import (
    Accepted,
    AcceptItem,
    Applied,
    Challenge,
    ChallengeItem,
    Checked,
    CheckItem,
    Ending,
    EndItem,
    HandOver,
    HandOverItem,
    HeldItem,
    HeldList,
    KeyEnding,
    KeyEndItem,
    Minted,
    MintItem,
    Offer,
    OfferItem,
    RenewItem,
    ShowItem,
    Shown,
    SignedDesired,
    Stored,
    StoreItem,
    Tightened,
    TightenItem,
)
from openkcm.sdk.key_store import MAX_FINDINGS
from openkcm.sdk.plain_text import display_text
from openkcm.sdk.refusals import Permanent, Refusal, Refused, Temporary
from openkcm.serving.calls import Fault

MAX_MESSAGE_CHARACTERS: Final = 1024
MAX_WAIT_S: Final = 3600.0


def refused(fault: Fault) -> Refused:
    """The region's refusal, in words that can be stored, logged and shown, whatever it sent."""
    try:
        refusal = Refusal(fault.refusal)
    except ValueError:  # a newer region's code
        refusal = Refusal.INTERNAL
    kind = Temporary if fault.temporary else Permanent
    wait_s = fault.retry_after_s
    return kind(
        refusal,
        display_text(fault.message, max_characters=MAX_MESSAGE_CHARACTERS),
        retry_after_s=None if wait_s is None else min(max(wait_s, 0.0), MAX_WAIT_S),
    )


def applied_belongs(item: SignedDesired, applied: Applied) -> bool:
    """It confirms the very document that was sent."""
    return applied.hash == sha256(item.document).hexdigest()


def minted_belongs(item: MintItem, minted: Minted) -> bool:
    """Its records are of this tenant: one tenant key, and one key for each service asked for."""
    statements = [record.statement for record in minted.records]
    return (
        minted.tenant == item.tenant
        and all(statement.tenant == item.tenant for statement in statements)
        and [(statement.level, statement.service) for statement in statements]
        == [("L2", ""), *(("L3", service) for service in item.services)]
        and all(record.wrap.key_id == record.statement.key_id for record in minted.records)
    )


def offer_belongs(item: OfferItem, offer: Offer) -> bool:
    """It is an offer of what was asked for."""
    return all(getattr(offer, name) == getattr(item, name) for name in item.__struct_fields__)


def hand_over_belongs(item: HandOverItem, given: HandOver) -> bool:
    """It is the answer to this very offer."""
    names = ("offer_id", "tenant", "key_id", "generation", "sender", "receiver")
    return all(getattr(given, name) == getattr(item.offer, name) for name in names)


def accepted_belongs(item: AcceptItem, accepted: Accepted) -> bool:
    """It is of the key that was handed over."""
    return (accepted.tenant, accepted.wrap.key_id) == (item.statement.tenant, item.statement.key_id)


def ending_belongs(item: EndItem, ending: Ending) -> bool:
    """It is of this tenant, and where destruction was asked for it has a receipt, which whoever asked checks."""
    return ending.tenant == item.tenant and (ending.receipt is not None or not item.destroy)


def renewed_belongs(item: RenewItem, minted: Minted) -> bool:
    """Its records are of this tenant: an L3 for each service asked for, or a new L2 and L3s that it wraps."""
    statements = [record.statement for record in minted.records]
    kinds = [(statement.level, statement.service) for statement in statements]
    if item.services:
        whole = kinds == [("L3", service) for service in item.services]
    else:
        whole = kinds[:1] == [("L2", "")] and all(level == "L3" for level, _ in kinds[1:])
        whole = whole and all(one.wrap.parent == statements[0].key_id for one in minted.records[1:])
    return (
        whole
        and minted.tenant == item.tenant
        and all(statement.tenant == item.tenant for statement in statements)
        and all(record.wrap.key_id == record.statement.key_id for record in minted.records)
    )


def stored_belongs(item: StoreItem, stored: Stored) -> bool:
    """It has every key that was given."""
    given = tuple(record.statement.key_id for record in item.records)
    return (stored.tenant, stored.key_ids) == (item.tenant, given)


def challenge_belongs(item: ChallengeItem, given: Challenge) -> bool:
    """It is a nonce for this tenant."""
    return given.tenant == item.tenant and len(given.nonce) == 32


def tightened_belongs(item: TightenItem, done: Tightened) -> bool:
    """It confirms the very tightening that was sent."""
    return all(getattr(done, name) == getattr(item, name) for name in done.__struct_fields__)


def key_ending_belongs(item: KeyEndItem, ending: KeyEnding) -> bool:
    """It is of this key, and where destruction was asked for it has a receipt, which whoever asked checks."""
    same = (ending.tenant, ending.key_id) == (item.tenant, item.key_id)
    return same and (ending.receipt is not None or not item.destroy)


def shown_belongs(item: ShowItem, shown: Shown) -> bool:
    """It is of this tenant, the document's hash is one, and every key is the tenant's and wrapped as it says."""
    return (
        shown.tenant == item.tenant
        and len(shown.hash) == 64
        and all(word.tenant == item.tenant for word in shown.tightened)
        and all(record.statement.tenant == item.tenant for record in shown.records)
        and all(record.wrap.key_id == record.statement.key_id for record in shown.records)
    )


def held_belongs(item: HeldItem, held: HeldList) -> bool:
    """It goes on after the tenant that was named, and comes to an end."""
    tenants = [document.tenant for document in held.documents]
    return (
        tenants == sorted(set(tenants))
        and all(tenant > item.after for tenant in tenants)
        and bool(tenants or not held.more)
    )


def checked_belongs(item: CheckItem, checked: Checked) -> bool:
    """It is of this connection, of no more findings than there can be, in words that can be shown."""
    same = (checked.tenant, checked.connection) == (item.tenant, item.connection.id)
    said = [text for found in checked.findings for text in (found.said, found.action, found.who)]
    said += [checked.reference, checked.version]
    return (
        same
        and len(checked.findings) <= MAX_FINDINGS + 1
        and all(text == display_text(text, max_characters=MAX_MESSAGE_CHARACTERS) for text in said)
    )
