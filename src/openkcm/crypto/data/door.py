"""The data door as a Litestar application: every request that the hot door leaves to it, and what is no data route."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

from litestar import Litestar, Request, Response, post
from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig

from openkcm.crypto.callers.peer import peer_in
from openkcm.crypto.data.answer import Answers, Reply
from openkcm.crypto.data.described import Described
from openkcm.crypto.data.routes import ROUTES, Route, read_head
from openkcm.crypto.here import Here
from openkcm.crypto.metrics import NOT_SERVED, REGISTRY, TENANTS
from openkcm.serving.health import Health, health_routes
from openkcm.serving.problem import ReadRequest, handlers

_MAX_BODY_BYTES: Final = 64 * 1024  # of what is no data route

_Request: TypeAlias = Request[object, object, State]


def data_door(answers: Answers, others: Sequence[HTTPRouteHandler] = ()) -> Litestar:
    """The application behind the data door, with health, metrics and its own description; ``others`` are routes beside
    those of the data plane.
    """
    here = answers.here

    def ready() -> Health:
        reasons = () if here.state.confirmed else ("the database has not confirmed the state",)
        return Health(ready=not reasons, reasons=reasons)

    TENANTS.set_function(lambda: len(here.state.views))
    NOT_SERVED.set_function(lambda: len(here.state.troubled))
    return Litestar(
        [*(_handler(answers, route) for route in ROUTES.values()), *others, *health_routes(ready, REGISTRY)],
        exception_handlers=handlers(),
        request_class=ReadRequest,
        request_max_body_size=_MAX_BODY_BYTES,
        logging_config=None,
        openapi_config=_description(here),
    )


def _handler(answers: Answers, route: Route) -> HTTPRouteHandler:
    @post(
        route.path,
        name=route.path,
        status_code=200,
        include_in_schema=False,  # ``described`` does it
        request_max_body_size=route.max_body_bytes,
    )
    async def answer(request: _Request) -> Response[bytes]:
        admitted = answers.admit(route, read_head(request.scope["headers"]), peer_in(request.scope).leaf)
        if isinstance(admitted, Reply):
            return _response(admitted)
        reply = answers.answer(admitted, await request.body())
        return _response(reply if isinstance(reply, Reply) else await reply)

    return answer


def _response(reply: Reply) -> Response[bytes]:
    return Response(
        reply.body,
        status_code=reply.status,
        headers={"Cache-Control": "no-store"} | (reply.more or {}),
        media_type=reply.media.decode(),
    )


def _description(here: Here) -> OpenAPIConfig:
    return OpenAPIConfig(
        title=f"OpenKCM Crypto Service, region {here.region}",
        version="1",
        path="/openapi.json",  # not "/": Litestar answers all below its path that it does not know
        render_plugins=[Described(path="/")],
    )
