"""The routes of the data plane in ``/openapi.json``, from the very types that read and write their bodies."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

import msgspec
from litestar.connection import Request
from litestar.openapi.plugins import JsonRenderPlugin

from openkcm.crypto.data.read import asked_by
from openkcm.crypto.data.routes import ROUTES, Route
from openkcm.crypto.data.wire import BatchAnswer
from openkcm.serving.problem import Problem

Json = dict[str, Any]

#: What may be answered besides 200, and what it means here.
REFUSALS: Final = {
    400: "The request has another form, or what it brings does not open.",
    401: "The token does not hold.",
    403: "The token, its caller, or the state of the tenant's keys does not allow it.",
    404: "This region holds nothing of the tenant, or no such key.",
    408: "The request did not come in time.",
    409: "The key does not encrypt now.",
    410: "The tenant's keys were destroyed.",
    413: "The request, or what it brings, is too large.",
    415: "The body is of another media type.",
    429: "The tenant asks for more than its limit.",
    431: "The headers are too many or too large.",
    500: "An error of ours.",
    503: "A part that this needs does not answer now.",
}
_BASE64: Final = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
_SUMMARY: Final = {
    "encrypt": "Encrypt one whole message",
    "decrypt": "Decrypt one whole message",
    "rewrap": "Move an envelope to the key that encrypts now",
    "data-keys": "A new leased data key",
    "data-keys/open": "The leased data key of an envelope",
    "leases": "Go on using leased data keys",
}
_REF: Final = "#/components/schemas/{name}"


class Described(JsonRenderPlugin):
    """Adds the data plane to what Litestar describes of the other routes."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return super().render(request, with_data_plane(openapi_schema))


def with_data_plane(document: Json) -> Json:
    """The whole description."""
    paths, schemas = _described()
    components = document.get("components", {})
    found = components.get("schemas", {})
    return document | {
        "paths": paths | document.get("paths", {}),
        "components": components
        | {
            "schemas": found | schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "okcm1"}},
        },
    }


def _described() -> tuple[Json, Json]:
    types: list[Any] = [Problem]
    for route in ROUTES.values():
        types += _types(route)
    refs, schemas = msgspec.json.schema_components(types, ref_template=_REF)
    place = iter(refs[1:])
    paths = {
        route.path: {"post": _operation(route, next(place), next(place), refs[0])}
        for route in ROUTES.values()
    }
    for schema in schemas.values():
        _say_base64(schema)
    return paths, schemas


def _types(route: Route) -> tuple[Any, Any]:
    """Of the body, and of the answer."""
    if not route.batch:
        return route.kind.request, route.kind.done
    return asked_by(route.kind), BatchAnswer[route.kind.done]  # type: ignore[name-defined] # known at run time alone


def _operation(route: Route, asked: Json, answer: Json, problem: Json) -> Json:
    said: Json = {
        "summary": _SUMMARY[route.kind.name] + (": 1 to 1000 of them" if route.batch else ""),
        "operationId": route.path.removeprefix("/v1/").replace("/", "-"),
        "security": [{"token": []}],
        "requestBody": {"required": True, "content": {"application/json": {"schema": asked}}},
        "responses": {
            "200": {"description": "Done", "content": {"application/json": {"schema": answer}}},
            **{
                str(status): {
                    "description": f"{HTTPStatus(status).phrase}: {words}",
                    "content": {"application/problem+json": {"schema": problem}},
                }
                for status, words in REFUSALS.items()
            },
        },
    }
    for status in ("429", "503"):
        said["responses"][status]["headers"] = {
            "Retry-After": {"description": "Seconds to wait", "schema": {"type": "integer", "minimum": 1}}
        }
    if route.kind.octets is not None and not route.batch:
        octets: Json = {"schema": {"type": "string", "format": "binary"}}
        said["requestBody"]["content"]["application/octet-stream"] = octets
        said["responses"]["200"]["content"]["application/octet-stream"] = octets
        said["parameters"] = [
            {
                "name": "OpenKCM-AAD",
                "in": "header",
                "required": False,
                "description": "Associated data in base64, up to 8 KiB; with application/octet-stream alone.",
                "schema": {"type": "string", "pattern": _BASE64},
            }
        ]
    return said


def _say_base64(schema: object) -> None:
    """Every value of bytes says its alphabet."""
    if isinstance(schema, dict):
        if schema.get("contentEncoding") == "base64":
            schema["pattern"] = _BASE64
        for value in schema.values():
            _say_base64(value)
    elif isinstance(schema, list):
        for value in schema:
            _say_base64(value)
