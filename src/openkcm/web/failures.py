"""An error as the asker can use it: a page, a part of one, or problem+json; always code, reason, remedy, by whom."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import msgspec
from litestar import Response
from litestar.exceptions import HTTPException

from openkcm.kernel.log import get_logger
from openkcm.sdk.refusals import Refusal, Refused, Remedy
from openkcm.serving.problem import STATUS, Problem
from openkcm.web.page import page, wants_block
from openkcm.web.security import request_id_of
from openkcm.web.shell import AnyRequest

_log = get_logger(__name__)

STATUS_OF: Final = STATUS | {
    Refusal.NOT_SIGNED_IN: 401,
    Refusal.FORM_EXPIRED: 403,
    Refusal.TENANT_NOT_READY: 409,
    Refusal.TENANT_STATE: 409,
    Refusal.STEP_UP_NEEDED: 403,
    Refusal.KEY_STATE: 409,
    Refusal.KEY_CHANGING: 409,
    Refusal.KEY_IN_USE: 409,
    Refusal.CONNECTION_IN_USE: 409,
    Refusal.CONNECTION_NOT_CHECKED: 409,
    Refusal.CONNECTION_FAULTY: 409,
    Refusal.LINK_USED: 410,
    Refusal.REGION_UNAVAILABLE: 503,
    Refusal.QUEUE_UNAVAILABLE: 503,
}
"""The status of each refusal that has one of its own."""
_TITLES: Final = {
    400: "We could not read that request",
    401: "You are not signed in",
    403: "You may not do this",
    404: "There is nothing at this address",
    405: "This address does not take that kind of request",
    409: "That cannot be done now",
    410: "This link has been used",
    413: "That was too large",
    422: "We could not read that request",
    429: "Too many requests at once",
    500: "Something broke on our side",
    503: "OpenKCM cannot answer right now",
}
_BY_HTTP_STATUS: Final = {
    401: Refusal.NOT_SIGNED_IN,
    403: Refusal.NOT_PERMITTED,
    404: Refusal.NOT_FOUND,
    410: Refusal.LINK_USED,
    413: Refusal.TOO_LARGE,
    429: Refusal.TOO_MANY,
    503: Refusal.UNAVAILABLE,
}
_WHY: Final = {
    Refusal.BAD_REQUEST: "The request is not of the form that this address takes. Nothing was changed.",
    Refusal.NOT_SIGNED_IN: "This page is for people who are signed in. Nothing was changed.",
    Refusal.NOT_PERMITTED: "What you asked for belongs to somebody else. Nothing was changed.",
    Refusal.NOT_FOUND: "The address may be mistyped, or what it showed is not yours to see.",
    Refusal.LINK_USED: "A sign\u2011in link works once.",
    Refusal.TOO_LARGE: "The request holds more than this address takes. Nothing was changed.",
    Refusal.TOO_MANY: "There were more requests than one browser is given. Nothing was changed.",
    Refusal.INTERNAL: "An error of ours stopped this request. Your keys are not affected: applications go on.",
    Refusal.UNAVAILABLE: "A part of OpenKCM is being started or does not answer. Applications that encrypt and decrypt "
    "do not depend on these pages.",
}
_REMEDIES: Final = {
    Refusal.NOT_SIGNED_IN: Remedy("Sign in, then open the page again.", "You"),
    Refusal.NOT_PERMITTED: Remedy("Ask for the role that this needs.", "The account\u2019s owner"),
    Refusal.LINK_USED: Remedy("Ask for another link.", "Whoever runs this installation"),
    Refusal.TOO_MANY: Remedy("Wait a moment, then try again.", "You"),
    Refusal.INTERNAL: Remedy(
        "Try again. If it happens again, send the reference below: with it the cause can be found in the log.",
        "You, then whoever runs this installation",
    ),
    Refusal.UNAVAILABLE: Remedy("Wait a few seconds, then try again. Nothing else is needed.", "You"),
}
_FALLBACK: Final = Remedy("Go back to where you came from and start again there.", "You")


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorPage:
    """An error in words. ``retry_after_s`` is set where the same request may succeed later by itself."""

    status: int
    code: Refusal
    title: str
    why: str
    remedy: Remedy
    reference: str
    at: datetime
    retry_after_s: float | None = None

    @property
    def temporary(self) -> bool:
        """Whether waiting is enough."""
        return self.status in (429, 503)


def error_page(request: AnyRequest, error: Exception) -> ErrorPage:
    """What the error means to the person who sees it; an unknown one means no more than that it was ours."""
    if isinstance(error, Refused):
        code, why = error.refusal, error.message
        status = STATUS_OF.get(code, 503 if error.temporary else 422)
        remedy, retry_after_s = error.remedy or _REMEDIES.get(code, _FALLBACK), error.retry_after_s
    else:
        status = error.status_code if isinstance(error, HTTPException) else 500
        code = _BY_HTTP_STATUS.get(status, Refusal.INTERNAL if status >= 500 else Refusal.BAD_REQUEST)
        why, remedy, retry_after_s = _WHY[code], _REMEDIES.get(code, _FALLBACK), None
    return ErrorPage(
        status=status,
        code=code,
        title="The form is no longer valid"
        if code is Refusal.FORM_EXPIRED
        else _TITLES.get(status, _TITLES[409]),
        why=why,
        remedy=remedy,
        reference=request_id_of(request),
        at=datetime.now(UTC),
        retry_after_s=retry_after_s,
    )


def _wants_page(request: AnyRequest) -> bool:
    return "text/html" in request.headers.get("accept", "") or request.headers.get("hx-request") == "true"


def failed(request: AnyRequest, error: Exception) -> Response[str] | Response[bytes]:
    """The answer to a request that ended with an error: an exception handler for everything.

    The log gets the trace, the asker never.
    """
    shown = error_page(request, error)
    if shown.status >= 500 and not isinstance(error, Refused):
        _log.error("request failed", reference=shown.reference, exc_info=error)
    answer: Response[str] | Response[bytes]
    if _wants_page(request):
        answer = page(request, "error.html", shown, block="failure", status_code=shown.status)
        if wants_block(request):
            # The part that asked keeps its place; the error stands in the frame's own region for it.
            answer.headers |= {"HX-Retarget": "#failure", "HX-Reswap": "innerHTML"}
    else:
        answer = Response(
            msgspec.json.encode(_problem(shown)),
            media_type="application/problem+json",
            status_code=shown.status,
            headers={"Vary": "HX-Request, Accept", "Cache-Control": "no-store"},
        )
    if shown.retry_after_s is not None:
        answer.headers["Retry-After"] = str(max(1, round(shown.retry_after_s)))
    return answer


def _problem(shown: ErrorPage) -> Problem:
    return Problem(
        type=f"urn:openkcm:problem:{shown.code}",
        title=shown.title,
        status=shown.status,
        detail=shown.why,
        code=shown.code,
        action=shown.remedy.action,
        who=shown.remedy.who,
        reference=shown.remedy.reference,
        retry_after_s=shown.retry_after_s,
    )
