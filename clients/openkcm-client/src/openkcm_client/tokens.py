"""The token of each region: taken from the credentials, or exchanged for them and renewed before it expires."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from openkcm_client.credentials import Credentials, StaticToken, checked_token
from openkcm_client.errors import Error
from openkcm_client.flights import Flights
from openkcm_client.http import Answered
from openkcm_client.moments import Moments
from openkcm_client.refused import bad_answer
from openkcm_client.wire import TokenAnswer, TokenRequest

LIFETIME_S: Final = 900
SHORTEST_S: Final = 30.0
"""A token is used for so long whatever its expiry says: the clock here may be ahead of the region's."""


class Exchange(Protocol):
    """Sends a request for a token, without one; answers the moment it was sent at and what a 200 brought."""

    async def __call__(self, address: str, body: bytes, /) -> tuple[float, Answered]: ...


@dataclass(frozen=True, slots=True)
class _Held:
    token: str
    renew_s: float
    ends_s: float


class Tokens:
    """Tokens by address. ``exchange`` sends a request without a token and gives what a 200 answered."""

    def __init__(self, credentials: Credentials, tenant: str, service: str, moments: Moments) -> None:
        self._credentials = credentials
        self._tenant = tenant
        self._service = service
        self._moments = moments
        self._held: dict[str, _Held] = {}
        self._flights = Flights()

    async def get(self, address: str, exchange: Exchange) -> str:
        """A token that has not expired; one that has not long to live is renewed meanwhile.

        Raises:
            NotAuthenticated, NotPermitted: the exchange was refused.
            Unavailable: nobody answered it.
        """
        if isinstance(self._credentials, StaticToken):
            return self._credentials.token()
        now, held = self._moments.now(), self._held.get(address)
        if held is not None and now < held.ends_s:
            if now >= held.renew_s:
                self._flights.start(address, lambda: self._exchange(address, exchange))
            return held.token
        return await self._flights.join(address, lambda: self._exchange(address, exchange))

    def refused(self, address: str, token: str) -> bool:
        """This token was refused: whether another one may be had."""
        held = self._held.get(address)
        if held is not None and held.token == token:
            del self._held[address]
        return not isinstance(self._credentials, StaticToken)

    async def end(self) -> None:
        self._held.clear()
        await self._flights.end()

    async def _exchange(self, address: str, exchange: Exchange) -> str:
        credentials = self._credentials
        if isinstance(credentials, StaticToken):
            return credentials.token()
        request = TokenRequest(
            tenant=self._tenant,
            service=self._service,
            caller=credentials.caller,
            verbs=credentials.verbs,
            assertion=await asyncio.to_thread(credentials.assertion),
            lifetime_s=LIFETIME_S,
        )
        sent_s, answered = await exchange(address, msgspec.json.encode(request))
        try:
            answer = msgspec.json.decode(answered.body, type=TokenAnswer)
            token = checked_token(answer.token)
        except (msgspec.MsgspecError, RecursionError, Error):
            raise bad_answer("it holds no token") from None
        lives_s = min(max(answer.expires_at_s - self._moments.wall(), SHORTEST_S), LIFETIME_S)
        self._held[address] = _Held(token, sent_s + lives_s * 2 / 3, sent_s + lives_s)
        return token

