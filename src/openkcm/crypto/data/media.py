"""What a request's body may be: JSON, or where there is one value alone also raw bytes."""

from __future__ import annotations

from typing import Final

from openkcm.crypto.data.routes import Route
from openkcm.sdk.refusals import Permanent, Refusal, Remedy

JSON: Final = b"application/json"
OCTETS: Final = b"application/octet-stream"


class WrongMedia(Exception):
    """The body is of a kind that the address does not take; ``refused`` says so."""

    def __init__(self, refused: Permanent) -> None:
        self.refused = refused


def is_octets(route: Route, media: bytes) -> bool:
    """Whether it is raw bytes, and not JSON.

    Raises:
        WrongMedia: it is neither, or the address takes JSON alone.
    """
    kind = media.partition(b";")[0].strip().lower()
    if kind == JSON:
        return False
    takes_octets = route.kind.octets is not None and not route.batch
    if kind == OCTETS and takes_octets:
        return True
    words = "application/json or application/octet-stream" if takes_octets else "application/json"
    remedy = Remedy(
        "Say what the body is by its Content-Type.", "caller", "reference/crypto-service#refusals"
    )
    raise WrongMedia(Permanent(Refusal.BAD_REQUEST, f"This address takes {words}.", remedy=remedy))
