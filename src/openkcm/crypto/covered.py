"""What each signature between the planes covers, after (record, ``FORMAT``) and the signer. Never changed."""

from __future__ import annotations

from openkcm.crypto.contract import HandOver, Offer, Statement, Wrap

Item = bytes | str | int


def covered_statement(statement: Statement) -> tuple[Item, ...]:
    """What the minting region's signature covers (record ``statement``, version ``FORMAT``)."""
    return (
        statement.tenant,
        statement.level,
        statement.service,
        statement.key_id,
        statement.algorithm,
        statement.commitment,
    )


def covered_wrap(wrap: Wrap) -> tuple[Item, ...]:
    """What the wrapping region's signature covers (record ``wrap``, version ``FORMAT``)."""
    return (wrap.key_id, wrap.holder, wrap.parent, wrap.parent_version, wrap.algorithm, wrap.blob)


def covered_offer(offer: Offer) -> tuple[Item, ...]:
    """What the receiver's signature covers (record ``offer``, version ``FORMAT``)."""
    return (
        offer.tenant,
        offer.key_id,
        offer.generation,
        offer.receiver,
        offer.sender,
        offer.offer_id,
        offer.public,
    )


def covered_hand_over(hand_over: HandOver) -> tuple[Item, ...]:
    """What the sender's signature covers (record ``hand-over``, version ``FORMAT``), and with all but the last item
    what the sealing is bound to.
    """
    return (
        hand_over.offer_id,
        hand_over.tenant,
        hand_over.key_id,
        hand_over.generation,
        hand_over.sender,
        hand_over.receiver,
        hand_over.sealed,
    )
