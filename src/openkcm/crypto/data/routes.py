"""The addresses of the data plane, and what counts of the head of a request to one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from openkcm.crypto.data.read import KINDS, MAX_BATCH_BYTES, Kind


class Route(msgspec.Struct, frozen=True):
    """One address of the data plane."""

    path: str
    kind: Kind
    batch: bool
    max_body_bytes: int


class Head(msgspec.Struct, frozen=True, gc=False):
    """What counts of a request's headers. ``plain``: nothing about its length or its sending is out of the ordinary."""

    authorization: bytes | None
    media: bytes | None
    length: int
    aad: bytes | None
    plain: bool


def _routes() -> dict[bytes, Route]:
    singles = [
        Route(path=f"/v1/{kind.name}", kind=kind, batch=False, max_body_bytes=kind.max_body_bytes)
        for kind in KINDS
    ]
    batches = [
        Route(path=f"/v1/{kind.name}/batch", kind=kind, batch=True, max_body_bytes=MAX_BATCH_BYTES)
        for kind in KINDS
    ]
    return {route.path.encode(): route for route in (*singles, *batches)}


ROUTES: Final = _routes()
_MOST_DIGITS: Final = 20  # of a length in 64 bits; the parser lets no larger one through


def read_head(headers: Iterable[tuple[bytes, bytes]]) -> Head:
    """The head; names are in lower case. What stands there twice and may not counts as not there."""
    authorization = media = aad = None
    length, plain, tokens = -1, True, 0
    for name, value in headers:
        if name == b"authorization":
            tokens += 1
            authorization = value
        elif name == b"content-length":
            plain = plain and length < 0 and value.isdigit() and len(value) <= _MOST_DIGITS
            length = _number(value) if value.isdigit() else -1
        elif name == b"content-type":
            media = value if media is None else b"twice"
        elif name == b"openkcm-aad":
            aad = value if aad is None else b"twice"
        elif name in (b"transfer-encoding", b"expect", b"upgrade"):
            plain = False
    if tokens != 1:
        authorization, plain = None, False
    return Head(authorization, media, length, aad, plain and length >= 0)


def _number(digits: bytes) -> int:
    """The number; zeros may stand before it, and Python reads no more than some thousand digits."""
    return int(digits if len(digits) <= _MOST_DIGITS else digits.lstrip(b"0")[:_MOST_DIGITS] or b"0")
