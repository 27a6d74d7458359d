"""What must and what may be served, counted in true time: the bounds of docs/how-it-works/outage.md."""

from __future__ import annotations

from openkcm.crypto.bounds import LATE_S, Choice, Policy
from openkcm.sdk.key_store import Outage
from tests.crypto.outage_control import ModelControl
from tests.crypto.outage_region import ModelRegion, Truth


def check_may(region: ModelRegion, control: ModelControl) -> None:
    truth, policy, now = region.truth, region.policy, region.world.now
    document = region.database.document
    assert document is not None
    assert truth.revokes <= control.lifted[document.hash], "served against a revoke that it applied"
    assert not region.database.words, "served against a word that nobody took back"
    assert now - truth.agreed <= policy.governance_s, "served beyond the governance window"
    assert not truth.refused, "served after a proven refusal"
    assert now - truth.proved <= allowed_s(truth, policy), "served beyond the window of an outage"


def must(region: ModelRegion) -> bool:
    truth, policy, now = region.truth, region.policy, region.world.now
    has_key = region.memory is not None or (policy.choice is Choice.LEASE and truth.leased)
    return (
        region.access == "active"
        and has_key
        and not truth.refused
        and truth.clean_proof
        and truth.clean_agreement
        and now - truth.agreed < policy.governance_s
        and now - truth.proved < allowed_s(truth, policy)
    )


def allowed_s(truth: Truth, policy: Policy) -> float:
    windows = {
        Outage.NO_ANSWER: policy.window_s,
        Outage.DOUBTFUL: policy.doubt_s,
        Outage.REFUSED: 0.0,
    }
    return min((windows[seen] for seen in truth.seen), default=max(policy.window_s, LATE_S))
