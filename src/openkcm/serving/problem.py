"""Refusals as problem+json (RFC 9457): a stable code, what happened, and who can do what about it."""

from __future__ import annotations

import math
from typing import Final

import msgspec
from litestar import Request, Response
from litestar.connection.base import AuthT, StateT, UserT
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap

from openkcm.kernel.log import get_logger
from openkcm.sdk.refusals import Permanent, Refusal, Refused, Remedy

log = get_logger(__name__)

STATUS: Final = {
    Refusal.BAD_REQUEST: 400,
    Refusal.CIPHERTEXT_INVALID: 400,
    Refusal.TOKEN_INVALID: 401,
    Refusal.CALLER_UNKNOWN: 403,
    Refusal.TRUST_INVALID: 400,
    Refusal.NOT_PERMITTED: 403,
    Refusal.KEY_BLOCKED: 403,
    Refusal.KEY_REVOKED: 403,
    Refusal.KEY_SUSPENDED: 403,
    Refusal.KEY_STORE_REFUSED: 403,
    Refusal.REGION_NOT_IN_SET: 403,
    Refusal.NOT_FOUND: 404,
    Refusal.KEY_UNKNOWN: 404,
    Refusal.TENANT_UNKNOWN: 404,
    Refusal.KEY_NOT_ACTIVE: 409,
    Refusal.KEY_READ_ONLY: 409,
    Refusal.KEY_DESTROYED: 410,
    Refusal.TOO_LARGE: 413,
    Refusal.TOO_MANY: 429,
    Refusal.INTERNAL: 500,
    Refusal.RECORD_MISMATCH: 503,
    Refusal.UNAVAILABLE: 503,
    Refusal.ISSUER_SILENT: 503,
    Refusal.DATABASE_UNAVAILABLE: 503,
    Refusal.KEY_STORE_SILENT: 503,
    Refusal.KEY_STORE_NO_ANSWER: 503,
    Refusal.KEY_STORE_DOUBTFUL: 503,
    Refusal.CUT_OFF: 503,
}
"""What HTTP says of a refusal; 500 for one that no door is meant to give."""

_BY_STATUS: Final = {
    401: Refusal.TOKEN_INVALID,
    403: Refusal.NOT_PERMITTED,
    404: Refusal.NOT_FOUND,
    413: Refusal.TOO_LARGE,
    429: Refusal.TOO_MANY,
}
_BODY: Final = "The request's body is not what this address takes."
_WORDS: Final = {
    400: _BODY,
    404: "There is nothing at this address.",
    405: "This address does not take that method.",
    413: "The request's body is larger than this address takes.",
    415: "This address takes JSON.",
}
_GONE: Final = "client disconnected prematurely"
"""Litestar's own words, where the body ends before its end."""
_PAGE: Final = "reference/crypto-service#refusals"


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of every answer that is a refusal. ``code`` is stable; ``detail`` is for people."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    action: str = ""
    who: str = ""
    reference: str = ""
    retry_after_s: float | None = None


def problem_of(refused: Refused, *, status: int | None = None) -> Problem:
    """What an answer says of this refusal; ``status`` where it is another than the code's own."""
    remedy = refused.remedy or Remedy("", "")
    return Problem(
        type=f"urn:openkcm:problem:{refused.refusal}",
        title=refused.refusal.value.replace("-", " "),
        status=status or STATUS.get(refused.refusal, 500),
        code=refused.refusal.value,
        detail=refused.message,
        action=remedy.action,
        who=remedy.who,
        reference=remedy.reference,
        retry_after_s=refused.retry_after_s,
    )


def problem(refused: Refused, *, status: int | None = None) -> tuple[int, bytes, dict[str, str]]:
    """Status, body and headers that tell of this refusal."""
    body = problem_of(refused, status=status)
    headers = {"Cache-Control": "no-store"}
    if body.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if body.status == 503:
        headers["Retry-After"] = str(max(1, round(refused.retry_after_s or 1)))
    if body.status == 429 and refused.retry_after_s is not None:  # before it, the answer would be the same
        headers["Retry-After"] = str(max(1, math.ceil(refused.retry_after_s)))
    return body.status, msgspec.json.encode(body), headers


def internal() -> Permanent:
    """The refusal that tells of an error of ours, and nothing of it."""
    words = "This request met an error of ours; it is in the log."
    remedy = Remedy("Tell the operator the time and the address.", "caller", _PAGE)
    return Permanent(Refusal.INTERNAL, words, remedy=remedy)


class ReadRequest(Request[UserT, AuthT, StateT]):
    """A request whose JSON may be nested as deep as somebody likes: what cannot be read so is a bad body."""

    async def json(self) -> object:
        """The body as JSON.

        Raises:
            Permanent: BAD_REQUEST, it is nested deeper than it can be read.
        """
        try:
            return await super().json()
        except RecursionError:
            raise nested() from None  # its trace is a thousand lines of nothing


def nested() -> Permanent:
    """The refusal of a body that is nested deeper than it can be read."""
    remedy = Remedy("Compare the request with /openapi.json.", "caller", _PAGE)
    return Permanent(Refusal.BAD_REQUEST, _BODY, remedy=remedy)


def handlers() -> ExceptionHandlersMap:
    """Litestar's exception handlers: every error of an app is a problem, and none shows how it came about."""
    return {Refused: _refused, HTTPException: _http, Exception: _unexpected}


def _refused(_request: Request[object, object, State], refused: Refused) -> Response[bytes]:
    return _response(refused)


def _http(_request: Request[object, object, State], error: HTTPException) -> Response[bytes]:
    if error.detail == _GONE:  # nobody reads the answer, and whoever likes can do it: it is no error of ours
        return _response(nested())
    if error.status_code >= 500:
        return _unexpected(_request, error)
    code = _BY_STATUS.get(error.status_code, Refusal.BAD_REQUEST)
    # Litestar's own words may quote the body, and that is plaintext.
    words = _WORDS.get(error.status_code, _BODY)
    remedy = Remedy("Compare the request with /openapi.json.", "caller", _PAGE)
    response = _response(Permanent(code, words, remedy=remedy), status=error.status_code)
    if (allowed := (error.headers or {}).get("allow")) is not None:
        response.headers["Allow"] = allowed  # RFC 9110, 15.5.6
    return response


def _unexpected(request: Request[object, object, State], error: Exception) -> Response[bytes]:
    log.error("serving.failed", path=request.url.path, exc_info=error)
    return _response(internal())


def _response(refused: Refused, *, status: int | None = None) -> Response[bytes]:
    code, body, headers = problem(refused, status=status)
    return Response(body, status_code=code, headers=headers, media_type="application/problem+json")
