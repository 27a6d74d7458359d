"""Random tokens of which only the hash is kept: who reads the database can use none of them."""

from __future__ import annotations

import hashlib
import re
import secrets

_FORM = re.compile(r"[A-Za-z0-9_-]{43}")


def new_token() -> str:
    """256 random bits as 43 characters that may stand in an address and in a cookie."""
    return secrets.token_urlsafe(32)


def hash_of(token: str) -> bytes | None:
    """What is stored of the token: its SHA-256; None where it cannot be one of ours.

    A plain hash is enough: the token has 256 random bits, so nothing can be guessed from it.
    """
    return hashlib.sha256(token.encode("ascii")).digest() if _FORM.fullmatch(token) else None
