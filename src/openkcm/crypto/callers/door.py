"""``POST /v1/token``: the one route of the data door that wants no token."""

from __future__ import annotations

from typing import Final, TypeAlias

from litestar import Request, post
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.params import JSONBody

from openkcm.crypto.callers.exchange import Exchanging, exchange
from openkcm.crypto.callers.peer import peer_in
from openkcm.crypto.data.wire import TokenAnswer, TokenRequest

MAX_BODY_BYTES: Final = 24 * 1024
"""An assertion of 16 KiB, and what stands around it."""
_Request: TypeAlias = Request[object, object, State]


def token_route(means: Exchanging) -> HTTPRouteHandler:
    """The handler, for the data door's composition."""

    def has_not_failed_too_often(
        connection: ASGIConnection[BaseRouteHandler, object, object, State], _: BaseRouteHandler
    ) -> None:
        """Asked before the body is read."""
        means.limits.check_address(_address(connection))

    @post(
        "/v1/token",
        guards=[has_not_failed_too_often],
        status_code=200,
        request_max_body_size=MAX_BODY_BYTES,
        response_headers={"Cache-Control": "no-store"},
        summary="Exchange what proves a caller for a token of this region",
    )
    async def token(data: JSONBody[TokenRequest], request: _Request) -> TokenAnswer:
        return await exchange(means, data, peer_in(request.scope), address=_address(request))

    return token


def _address(connection: ASGIConnection[BaseRouteHandler, object, object, State] | _Request) -> str:
    return connection.client.host if connection.client else ""
