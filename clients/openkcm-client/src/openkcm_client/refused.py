"""What a region, or the way to it, says no with: one class a family, each with its code and what to do about it.

A region answers refusals as problem+json (RFC 9457). Of an answer nothing else gets into an error: no body, no key, no
token.
"""

from __future__ import annotations

from typing import Final

from openkcm_client.errors import BadCiphertext, Error
from openkcm_client.wire import Problem

_MAX_CHARACTERS: Final = 400


class Refused(Error):
    """Something was refused; ``str()`` says what, why, and what ends it.

    ``code`` is stable and stands in the product's table of errors; ``remedy`` is the one action that ends the refusal
    and ``who`` can do it, ``reference`` the page of the documentation, each empty where nobody knows;
    ``retry_after_s`` is when the same may succeed without anybody's doing, None where it will not.
    """

    default = "refused"
    again = False
    """Whether the same request is worth sending again at once, or a moment later."""

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        remedy: str = "",
        who: str = "",
        reference: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default
        self.remedy = remedy
        self.who = who
        self.reference = reference
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        remedy = f" {self.remedy} ({self.who})" if self.who and self.remedy else f" {self.remedy}".rstrip()
        return f"{self.message}{remedy} [{self.code}]"


class NotAuthenticated(Refused):
    """The region does not believe the token, or what it was to be exchanged for."""

    default = "token-invalid"


class NotPermitted(Refused):
    """This caller may not do that, here, for this tenant and service: not registered, or not for this verb."""

    default = "not-permitted"


class KeyReadOnly(Refused):
    """The tenant's or service's keys decrypt and do not encrypt: somebody disabled them."""

    default = "key-read-only"


class KeyNotActive(Refused):
    """The key does not encrypt now. Within a stream: it was rotated meanwhile, and the stream has to be begun anew."""

    default = "key-not-active"


class KeyRevoked(Refused):
    """Nothing works with these keys: revoked, blocked or destroyed."""

    default = "key-revoked"


class KeySuspended(Refused):
    """The customer's key store refuses the root key. It heals when the key answers again."""

    default = "key-suspended"


class TooLarge(Refused):
    """A request is larger than a region takes at once; encrypting with leased keys knows no such limit."""

    default = "too-large"


class TooMany(Refused):
    """More requests than the tenant's limit allows; ``retry_after_s`` says when it is worth trying."""

    default = "too-many"


class Unavailable(Refused):
    """No region answered usefully in time, and no lease is left to go on with. Nothing says that it is forbidden."""

    default = "unavailable"


class BadAnswer(Unavailable):
    """A region's answer was not what it must be, and nothing of it was used."""

    default = "answer-invalid"


class Closed(Refused):
    """The client is closed, or this process was forked from the one that holds the key."""

    default = "client-closed"


_FAMILIES: Final[dict[str, type[Refused]]] = {
    "token-invalid": NotAuthenticated,
    "not-permitted": NotPermitted,
    "caller-unknown": NotPermitted,
    "region-not-in-set": NotPermitted,
    "tenant-unknown": NotPermitted,
    "key-read-only": KeyReadOnly,
    "key-not-active": KeyNotActive,
    "key-revoked": KeyRevoked,
    "key-blocked": KeyRevoked,
    "key-destroyed": KeyRevoked,
    "key-suspended": KeySuspended,
    "key-store-refused": KeySuspended,
    "too-large": TooLarge,
    "too-many": TooMany,
}
_STATUSES: Final[dict[int, type[Refused]]] = {
    401: NotAuthenticated,
    403: NotPermitted,
    408: Unavailable,
    413: TooLarge,
    429: TooMany,
}
_UNREADABLE: Final = frozenset({"ciphertext-invalid", "format-unsupported"})


def from_problem(problem: Problem, *, status: int = 0, retry_after_s: float | None = None) -> Error:
    """The error that a region's refusal is, of a whole answer with ``status`` or of one item of a batch."""
    if problem.code in _UNREADABLE:
        return BadCiphertext()
    status = status or problem.status
    kind = _FAMILIES.get(problem.code) or from_status(status)
    after = problem.retry_after_s if problem.retry_after_s is not None else retry_after_s
    return kind(
        plain(problem.detail) or "The region refused this.",
        code=plain(problem.code, 64),
        remedy=plain(problem.action),
        who=plain(problem.who, 64),
        reference=plain(problem.reference, 128),
        retry_after_s=after if after is None or 0 <= after < float("inf") else None,
    )


def from_status(status: int) -> type[Refused]:
    """The family of an answer of which only the status is known."""
    return _STATUSES.get(status) or (Unavailable if status >= 500 else Refused)


def plain(text: str, most: int = _MAX_CHARACTERS) -> str:
    """A region's words, fit for a log: printable, on one line, not endless."""
    return "".join(letter for letter in text[:most] if letter.isprintable()).strip()


def no_answer(address: str, what: str, remedy: str) -> Unavailable:
    """Nobody at this address gave an answer; ``what`` says how that was met."""
    return Unavailable(
        f"The region at {address} {what}.",
        code="no-answer",
        remedy=f"{remedy}; leased keys go on to the end of their lease.",
        who="operator",
    )


def bad_answer(what: str) -> BadAnswer:
    """What the region answered is not to be believed; ``what`` says which part, never its value."""
    return BadAnswer(
        f"The region's answer was not used: {what}.",
        remedy="Look whether the address is the region's, the token is for this tenant and service, "
        "and the region's version fits this client's.",
        who="operator",
    )


def ends_use(error: Error) -> bool:
    """Whether keys are dropped because of it. No answer ends nothing: the lease does, when it is over."""
    return not isinstance(error, Unavailable | TooMany)
