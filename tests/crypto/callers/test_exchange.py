"""The exchange without its door: what is counted, how long tokens live, and what changes while an issuer is asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from joserfc.jwk import Key

from openkcm.crypto.callers.assertion import Assertion
from openkcm.crypto.callers.exchange import Exchanging, exchange
from openkcm.crypto.callers.issuers import Issuers
from openkcm.crypto.callers.key_set import PublicKey
from openkcm.crypto.callers.limits import TENANT_BURST, Limits
from openkcm.crypto.callers.peer import NOBODY
from openkcm.crypto.callers.told import Told
from openkcm.crypto.contract import DesiredCaller, IssuerTrust
from openkcm.crypto.data.wire import TokenAnswer, TokenRequest
from openkcm.crypto.tokens import TokenMaker
from openkcm.crypto.uses import UNKNOWN_KEY, Use
from openkcm.sdk.refusals import Refusal, Refused
from tests.crypto.callers.issuer import ec_key, signed
from tests.crypto.plane import Plane

pytestmark = pytest.mark.integration
ISSUER, AUDIENCE = "https://issuer.example", "openkcm:local:acme"
TRUST = IssuerTrust(issuer=ISSUER, subject="backend")
CALLER = DesiredCaller(name="shop", service="default", verbs=("encrypt",), trust=TRUST, registered=2)


class Near(Issuers):
    """An issuer whose key is at hand; ``meanwhile`` happens while it is asked."""

    def __init__(self, key: Key) -> None:
        self._key = key
        self.meanwhile: Callable[[], Awaitable[object]] | None = None

    async def key(self, tenant: str, trust: IssuerTrust, assertion: Assertion) -> PublicKey:
        if self.meanwhile is not None:
            await self.meanwhile()
        return PublicKey("one", frozenset({"ES256"}), self._key)


@dataclass
class Asking:
    """The region ``local``, and an application with its issuer's key."""

    plane: Plane
    key: Key = field(default_factory=ec_key)

    def __post_init__(self) -> None:
        here, clock = self.plane.local.here, self.plane.clock.monotonic
        self.issuers = Near(self.key)
        self.tokens = TokenMaker(here.root)
        self.means = Exchanging(
            here=here, tokens=self.tokens, issuers=self.issuers, limits=Limits(clock), told=Told(clock)
        )

    def assertion(self, *, ends_s: float = 3600) -> str:
        now = self.plane.clock.now().timestamp()
        said: dict[str, object] = {"iss": ISSUER, "sub": "backend", "aud": AUDIENCE}
        return signed(self.key, said | {"iat": now, "exp": now + ends_s})

    async def ask(
        self, *, ends_s: float = 3600, address: str = "192.0.2.1", **changes: object
    ) -> TokenAnswer:
        given: dict[str, object] = {
            "tenant": "acme",
            "service": "default",
            "caller": "shop",
            "verbs": ("encrypt",),
            "assertion": self.assertion(ends_s=ends_s),
        }
        request = TokenRequest(**(given | changes))  # type: ignore[arg-type] # as a request may be
        return await exchange(self.means, request, NOBODY, address=address)

    async def refusal(self, **changes: object) -> Refusal:
        with pytest.raises(Refused) as refused:
            await self.ask(**changes)  # type: ignore[arg-type] # as above
        return refused.value.refusal

    def uses(self) -> tuple[dict[str, int], int]:
        """How often each outcome was noted, and how many were told one by one."""
        counts, singly = self.means.here.uses.take()
        assert {use._replace(outcome="") for use in counts} <= {
            Use("acme", "shop", "default", UNKNOWN_KEY, "token", "")
        }
        return {use.outcome: count for use, count in counts.items()}, sum(map(len, singly.values()))

    async def decide(self, *callers: DesiredCaller, **changes: object) -> None:
        keys = self.plane.world.last_keys("acme")
        given = {"keys": keys, "callers": callers} | changes
        await self.plane.local.apply(self.plane.world.decide("acme", **given))  # type: ignore[arg-type] # as it has them


@pytest.fixture
async def asking(plane: Plane) -> Asking:
    await plane.protect("acme")
    made = Asking(plane)
    await made.decide(CALLER)
    return made


async def test_a_token_says_what_was_asked_for_and_by_which_registration(asking: Asking) -> None:
    now_s = asking.plane.clock.now().timestamp()
    answer = await asking.ask()
    grant = asking.tokens.read(answer.token, now_s=now_s)
    assert (grant.tenant, grant.caller, grant.service, grant.verbs) == (
        "acme",
        "shop",
        "default",
        ("encrypt",),
    )
    assert (grant.leaf, grant.registered, grant.expires_at_s) == ("", 2, answer.expires_at_s)
    assert now_s + 899 <= answer.expires_at_s <= now_s + 900
    assert asking.uses() == ({"done": 1}, 0)


async def test_a_token_ends_with_what_proves_it_or_as_was_asked(asking: Asking) -> None:
    now_s = asking.plane.clock.now().timestamp()
    assert (await asking.ask(ends_s=100)).expires_at_s <= now_s + 160
    assert (await asking.ask(lifetime_s=30)).expires_at_s <= now_s + 30


@pytest.mark.parametrize("changes", [{"lifetime_s": 0}, {"lifetime_s": 901}, {"verbs": ()}])
async def test_a_lifetime_or_verbs_that_cannot_be_are_a_bad_request(
    asking: Asking, changes: dict[str, object]
) -> None:
    assert await asking.refusal(**changes) is Refusal.BAD_REQUEST
    assert asking.uses() == ({}, 0)


async def test_failures_are_counted_for_registered_callers_alone_and_never_told_singly(
    asking: Asking,
) -> None:
    for assertion in ("x.y.z", ""):
        assert await asking.refusal(assertion=assertion) is Refusal.CALLER_UNKNOWN
    made_up: list[dict[str, object]] = [
        {"caller": "made-up"},
        {"tenant": "made-up"},
        {"service": "other"},
        {"verbs": ("decrypt",)},
    ]
    for change in made_up:
        assert await asking.refusal(**change) is Refusal.CALLER_UNKNOWN
    assert asking.uses() == ({"caller-unknown": 2}, 0)


async def test_what_is_refused_after_the_proof_says_so_and_is_told_singly(asking: Asking) -> None:
    await asking.decide(CALLER, access="revoked")
    assert await asking.refusal() is Refusal.KEY_REVOKED
    assert asking.uses() == ({"key-revoked": 1}, 1)


async def test_a_caller_that_is_removed_while_its_issuer_is_asked_gets_nothing(asking: Asking) -> None:
    asking.issuers.meanwhile = asking.decide
    assert await asking.refusal() is Refusal.CALLER_UNKNOWN


async def test_a_caller_of_the_pages_gets_no_token_here(asking: Asking) -> None:
    await asking.decide(DesiredCaller(name="shop", service="default", verbs=("encrypt",)))
    assert await asking.refusal() is Refusal.CALLER_UNKNOWN


async def test_a_tenants_callers_have_a_limit_together(asking: Asking) -> None:
    for _ in range(int(TENANT_BURST)):
        await asking.ask()
    assert await asking.refusal() is Refusal.TOO_MANY
    asking.plane.clock.advance(1)
    await asking.ask()


async def test_a_region_outside_of_the_tenants_set_gives_nothing(asking: Asking) -> None:
    await asking.decide(CALLER, regions=("eu-1",))
    assert await asking.refusal() is Refusal.CALLER_UNKNOWN
