"""The exchange: what proves a registered caller, for a token of this region."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from openkcm.crypto.callers.assertion import check_signature, read_assertion
from openkcm.crypto.callers.certificates import check_issued, check_pinned
from openkcm.crypto.callers.issuers import Issuers
from openkcm.crypto.callers.limits import Limits
from openkcm.crypto.callers.peer import Peer
from openkcm.crypto.callers.proof import ProofFailed, Why, not_proven
from openkcm.crypto.callers.told import Told
from openkcm.crypto.contract import DesiredCaller
from openkcm.crypto.data.wire import TokenAnswer, TokenRequest
from openkcm.crypto.here import Here
from openkcm.crypto.metrics import TOKENS
from openkcm.crypto.tokens import MAX_LIFETIME_S, TokenMaker
from openkcm.crypto.trust import CertificateTrust, IssuerTrust, PinnedTrust
from openkcm.crypto.uses import UNKNOWN_KEY, Use
from openkcm.crypto.view import View
from openkcm.sdk.refusals import Permanent, Refusal, Refused, Remedy

VERB: Final = "token"
"""What the use audit calls an exchange."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchanging:
    """What the exchange works with."""

    here: Here
    tokens: TokenMaker
    issuers: Issuers
    limits: Limits
    told: Told


async def exchange(means: Exchanging, asked: TokenRequest, peer: Peer, *, address: str) -> TokenAnswer:
    """The caller has this region's token, for at most 900 s and no longer than its own proof is good.

    One that was proven with a certificate is good only over connections with that certificate.

    Raises:
        Permanent: BAD_REQUEST; CALLER_UNKNOWN, whatever of it does not fit; as ``View.check_not_blocked``.
        Temporary: TOO_MANY, ISSUER_SILENT, UNAVAILABLE.
    """
    _check(asked)
    caller = None
    try:
        view, caller = _registered(means.here, asked)
        ends_at_s = await _proven(means, view, caller, asked, peer)
    except ProofFailed as failed:
        means.limits.failed(address)
        means.told.failed(asked.tenant if caller else "", asked.caller if caller else "", failed.why)
        if caller is not None:  # whoever sent that is unknown: it is counted, and none of it stands by itself
            means.here.uses.note(_use(asked, Refusal.CALLER_UNKNOWN.value))
        raise not_proven() from None
    except Refused as refused:
        TOKENS.labels(refused.refusal.value).inc()
        raise
    return _issued(means, view, caller, asked, peer, ends_at_s)


def _check(asked: TokenRequest) -> None:
    if asked.verbs and 1 <= asked.lifetime_s <= MAX_LIFETIME_S:
        return
    raise Permanent(
        Refusal.BAD_REQUEST,
        f"A token lives 1 to {MAX_LIFETIME_S} s and is good for one verb at least.",
        remedy=Remedy("Correct the request.", "caller", "reference/callers#the-exchange"),
    )


def _registered(here: Here, asked: TokenRequest) -> tuple[View, DesiredCaller]:
    """The caller as the applied document names it. What is not there is told of as a proof that does not hold."""
    try:
        view = here.state.view(asked.tenant)
        view.check_here(here.region)
    except Permanent:
        raise ProofFailed(Why.TENANT) from None
    caller = view.callers.get(asked.caller)
    if caller is None:
        raise ProofFailed(Why.CALLER)
    if caller.service != asked.service or not set(asked.verbs) <= set(caller.verbs):
        raise ProofFailed(Why.RIGHTS)
    return view, caller


async def _proven(
    means: Exchanging, view: View, caller: DesiredCaller, asked: TokenRequest, peer: Peer
) -> float:
    """When what proves the caller ends, in seconds since 1970."""
    now = means.here.clock.now()
    trust = caller.trust
    if isinstance(trust, IssuerTrust):
        assertion = read_assertion(
            asked.assertion,
            trust,
            audience=f"openkcm:{means.here.region}:{view.tenant}",
            now_s=now.timestamp(),
        )
        check_signature(assertion, await means.issuers.key(view.tenant, trust, assertion))
        return assertion.ends_at_s
    if trust is None:
        raise ProofFailed(Why.NO_TRUST)
    if not peer.certificate or asked.assertion:
        raise ProofFailed(Why.NO_CERTIFICATE)
    if peer.tenant != view.tenant:
        raise ProofFailed(Why.HOST)
    check = check_issued if isinstance(trust, CertificateTrust) else check_pinned
    return check(trust, peer, now=now).timestamp()  # type: ignore[arg-type] # each has its own kind


def _issued(
    means: Exchanging,
    view: View,
    caller: DesiredCaller,
    asked: TokenRequest,
    peer: Peer,
    ends_at_s: float,
) -> TokenAnswer:
    try:
        # While an issuer was asked, the document may have changed.
        view = means.here.state.view(view.tenant)
        if view.callers.get(caller.name) != caller:
            raise not_proven()
        view.check_not_revoked(caller.service)
        means.limits.issue(view.tenant)
        now_s = means.here.clock.now().timestamp()
        expires_at_s = min(math.floor(now_s) + asked.lifetime_s, math.floor(ends_at_s))
        if expires_at_s <= now_s:
            raise not_proven()
    except Refused as refused:
        TOKENS.labels(refused.refusal.value).inc()
        means.here.uses.refused(_use(asked, refused.refusal.value), means.here.clock.now().timestamp())
        raise
    bound = isinstance(caller.trust, CertificateTrust | PinnedTrust)
    token = means.tokens.make(
        tenant=view.tenant,
        caller=caller.name,
        service=caller.service,
        verbs=tuple(sorted(set(asked.verbs))),
        expires_at_s=expires_at_s,
        leaf=peer.leaf if bound else "",
        registered=caller.registered,
    )
    TOKENS.labels("done").inc()
    means.here.uses.note(_use(asked, "done"))
    return TokenAnswer(token=token, expires_at_s=expires_at_s, region=means.here.region)


def _use(asked: TokenRequest, outcome: str) -> Use:
    return Use(asked.tenant, asked.caller, asked.service, UNKNOWN_KEY, VERB, outcome)
