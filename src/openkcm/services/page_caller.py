"""The callers for which a tenant's own pages get a token: one for each service, registered with it."""

from __future__ import annotations

import hashlib
from typing import Final

from openkcm.kernel.db import Transaction
from openkcm.services.register import VERBS, register_caller

FIRST_SERVICE: Final = "default"
"""The service with which every tenant begins."""
_FIRST: Final = "home-page"
_MOST: Final = 63
"""Characters of a name, as ``check_name`` has it."""


def page_caller(service: str) -> str:
    """The caller's name: for ever the same of one service, of no two the same, and of the form of a name."""
    if service == FIRST_SERVICE:
        return _FIRST
    name = f"{_FIRST}-{service}"
    return name if len(name) <= _MOST else f"{_FIRST}-{hashlib.sha256(service.encode()).hexdigest()[:48]}"


async def register_page_caller(tx: Transaction, tenant: str, service: str) -> None:
    """The tenant's pages may get tokens for this service, which both encrypt and decrypt.

    Raises:
        Permanent: BAD_REQUEST; as ``register_caller``.
    """
    await register_caller(tx, tenant, name=page_caller(service), service=service, verbs=VERBS)
