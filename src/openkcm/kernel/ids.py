"""Names of things: distinct types for the checker, and ids nobody can guess."""

from __future__ import annotations

import secrets
from typing import NewType

TenantId = NewType("TenantId", str)
KeyId = NewType("KeyId", str)
SagaId = NewType("SagaId", int)


def random_id() -> str:
    """128 random bits as 32 lower-case hex digits."""
    return secrets.token_hex(16)
