"""A token for a caller that stands in the applied state, handed out at control's request."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

from openkcm.crypto.contract import Token, TokenItem
from openkcm.crypto.here import Here
from openkcm.crypto.outcomes import attempt
from openkcm.crypto.tokens import MAX_LIFETIME_S, TokenMaker
from openkcm.sdk.refusals import Permanent, Refusal, Refused, Remedy


async def issue(here: Here, tokens: TokenMaker, items: Sequence[TokenItem]) -> list[Token | Refused]:
    """Each caller has a token of this region for at most 900 s.

    Refused alone: a caller, service or verb that the applied state does not name (CALLER_UNKNOWN), a blocked
    tenant, this region not in its set, a lifetime that is not between 1 and 900 s (BAD_REQUEST).
    """
    return await attempt(items, lambda item: _issue(here, tokens, item))


def _issue(here: Here, tokens: TokenMaker, item: TokenItem) -> Token:
    if not 1 <= item.lifetime_s <= MAX_LIFETIME_S or not item.verbs:
        raise Permanent(
            Refusal.BAD_REQUEST,
            f"A token lives 1 to {MAX_LIFETIME_S} s and is good for one verb at least.",
            remedy=Remedy("Correct the request.", "control", "reference/crypto-service#tokens"),
        )
    view = here.state.view(item.tenant)
    view.check_here(here.region)
    view.check_not_blocked()
    view.check_caller(item.caller, item.service, item.verbs)
    expires_at_s = math.floor(here.clock.now().timestamp()) + item.lifetime_s
    token = tokens.make(
        tenant=item.tenant,
        caller=item.caller,
        service=item.service,
        verbs=item.verbs,
        expires_at_s=expires_at_s,
        registered=view.callers[item.caller].registered,
    )
    return Token(token=token, expires_at=datetime.fromtimestamp(expires_at_s, UTC), address=here.data_address)
