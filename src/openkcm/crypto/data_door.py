"""The data door: applications encrypt and decrypt, each request with a token of this region."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Self, TypeAlias

import msgspec
from litestar import Litestar, Request, post
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.params import JSONBody
from msgspec import Meta

from openkcm.crypto.contract import Verb
from openkcm.crypto.here import Here
from openkcm.crypto.metrics import NOT_SERVED, OPERATIONS, REGISTRY, TENANTS
from openkcm.crypto.tokens import Grant, TokenMaker, invalid
from openkcm.crypto.use import decrypt, encrypt
from openkcm.crypto.uses import UNKNOWN_KEY, Use
from openkcm.crypto.view import View
from openkcm.sdk.refusals import Permanent, Refusal, Refused, Remedy
from openkcm.serving.health import Health, health_routes
from openkcm.serving.problem import ReadRequest, handlers
from openkcm_client.envelope import parse
from openkcm_client.errors import FormatError

MAX_PLAINTEXT_BYTES: Final = 2**20
MAX_AAD_BYTES: Final = 2**16
#: Base64 of both, the longest names and JSON around them.
MAX_BODY_BYTES: Final = 4 * (MAX_PLAINTEXT_BYTES + MAX_AAD_BYTES) // 3 + 4096

_PRIVATE: Final = {"Cache-Control": "no-store"}
_Request: TypeAlias = Request[object, Grant, State]
_Name = Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]{0,62}$")]


class EncryptRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``plaintext`` (up to 1 MiB) and ``aad`` (up to 64 KiB) are base64."""

    tenant: _Name
    service: _Name
    plaintext: bytes
    aad: bytes = b""


class EncryptAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """``message`` is base64: the envelope and the body; keep it whole."""

    message: bytes


class DecryptRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``message`` as ``encrypt`` answered it, with the same ``aad``; both are base64."""

    tenant: _Name
    service: _Name
    message: bytes
    aad: bytes = b""


class DecryptAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """``plaintext`` is base64."""

    plaintext: bytes


def data_door(here: Here, tokens: TokenMaker) -> Litestar:
    """The application behind the data door, with health, metrics and its own description."""

    def has_token(
        connection: ASGIConnection[BaseRouteHandler, object, Grant, State], _: BaseRouteHandler
    ) -> None:
        """The token is checked before the body is read."""
        connection.scope["auth"] = tokens.read(_bearer(connection), now_s=here.clock.now().timestamp())

    @post(
        "/v1/encrypt",
        guards=[has_token],
        status_code=200,
        response_headers=_PRIVATE,
        summary="Encrypt one whole message",
    )
    async def encrypt_one(data: JSONBody[EncryptRequest], request: _Request) -> EncryptAnswer:
        with _Counted(here, request.auth, "encrypt") as counted:
            _check_sizes(len(data.plaintext), MAX_PLAINTEXT_BYTES, len(data.aad))
            view = _allowed(here, request.auth, "encrypt", data.tenant, data.service)
            message = await encrypt(here, view, data.service, data.plaintext, data.aad)
            counted.key_id = parse(message).l3_key_id
            return EncryptAnswer(message=message)

    @post(
        "/v1/decrypt",
        guards=[has_token],
        status_code=200,
        response_headers=_PRIVATE,
        summary="Decrypt one whole message",
    )
    async def decrypt_one(data: JSONBody[DecryptRequest], request: _Request) -> DecryptAnswer:
        with _Counted(here, request.auth, "decrypt") as counted:
            _check_sizes(len(data.message), MAX_PLAINTEXT_BYTES + 4096, len(data.aad))
            view = _allowed(here, request.auth, "decrypt", data.tenant, data.service)
            counted.key_id = _named(view, data)
            return DecryptAnswer(plaintext=await decrypt(here, view, data.service, data.message, data.aad))

    def ready() -> Health:
        reasons = () if here.state.confirmed else ("the database has not confirmed the state",)
        return Health(ready=not reasons, reasons=reasons)

    TENANTS.set_function(lambda: len(here.state.views))
    NOT_SERVED.set_function(lambda: len(here.state.troubled))
    return Litestar(
        [encrypt_one, decrypt_one, *health_routes(ready, REGISTRY)],
        exception_handlers=handlers(),
        request_class=ReadRequest,
        request_max_body_size=MAX_BODY_BYTES,
        logging_config=None,
        openapi_config=OpenAPIConfig(
            title=f"OpenKCM Crypto Service, region {here.region}",
            version="1",
            path="/openapi.json",  # not "/": Litestar answers all below its path that it does not know
            render_plugins=[JsonRenderPlugin(path="/")],
        ),
    )


def _bearer(connection: ASGIConnection[BaseRouteHandler, object, Grant, State]) -> str:
    given: Sequence[str] = connection.headers.getall("authorization", [])
    if len(given) != 1 or not given[0].startswith("Bearer "):
        raise invalid()
    return given[0].removeprefix("Bearer ")


def _allowed(here: Here, grant: Grant, verb: Verb, tenant: str, service: str) -> View:
    """The tenant's view: the token is for this use, and the state still names its caller for it."""
    if (grant.tenant, grant.service) != (tenant, service) or verb not in grant.verbs:
        raise Permanent(
            Refusal.NOT_PERMITTED,
            "This token is for another tenant, service or verb.",
            remedy=Remedy("Ask for a token for this use.", "caller", "reference/crypto-service#tokens"),
        )
    view = here.state.view(tenant)
    view.check_caller(grant.caller, service, (verb,))
    return view


def _check_sizes(size: int, most: int, aad: int) -> None:
    if size > most or aad > MAX_AAD_BYTES:
        raise Permanent(
            Refusal.TOO_LARGE,
            "A message holds up to 1 MiB of plaintext and 64 KiB of associated data.",
            remedy=Remedy("Send less at once.", "caller", "reference/crypto-service#limits"),
        )


def _named(view: View, data: DecryptRequest) -> bytes:
    """The key that the message names, if it is one of the service's: nobody makes up others to be written down."""
    try:
        key_id = parse(data.message).l3_key_id
    except FormatError:
        return UNKNOWN_KEY
    return key_id if view.decrypts(data.service, key_id) else UNKNOWN_KEY


class _Counted:
    """Counts an operation by its outcome, and notes it for the use audit."""

    __slots__ = ("_grant", "_here", "_verb", "key_id")

    def __init__(self, here: Here, grant: Grant, verb: Verb) -> None:
        self._here, self._grant, self._verb = here, grant, verb
        self.key_id = UNKNOWN_KEY

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        outcome = (
            "done" if error is None else error.refusal.value if isinstance(error, Refused) else "internal"
        )
        OPERATIONS.labels(self._verb, outcome).inc()
        grant = self._grant
        use = Use(grant.tenant, grant.caller, grant.service, self.key_id, self._verb, outcome)
        if error is None:
            self._here.uses.note(use)
        else:
            self._here.uses.refused(use, self._here.clock.now().timestamp())
