"""OpenKCM for applications: encrypt and decrypt with a tenant's keys. The format's own modules need no network."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openkcm_client.async_client import AsyncClient
    from openkcm_client.bounds import Bounds
    from openkcm_client.client import Client
    from openkcm_client.credentials import ClientCertificate, StaticToken, WorkloadToken
    from openkcm_client.errors import BadCiphertext, BadName, Error, MessageTooLong
    from openkcm_client.refused import (
        BadAnswer,
        Closed,
        KeyNotActive,
        KeyReadOnly,
        KeyRevoked,
        KeySuspended,
        NotAuthenticated,
        NotPermitted,
        Refused,
        TooLarge,
        TooMany,
        Unavailable,
    )

__all__ = [
    "AsyncClient",
    "BadAnswer",
    "BadCiphertext",
    "BadName",
    "Bounds",
    "Client",
    "ClientCertificate",
    "Closed",
    "Error",
    "KeyNotActive",
    "KeyReadOnly",
    "KeyRevoked",
    "KeySuspended",
    "MessageTooLong",
    "NotAuthenticated",
    "NotPermitted",
    "Refused",
    "StaticToken",
    "TooLarge",
    "TooMany",
    "Unavailable",
    "WorkloadToken",
]

_MODULES = {
    "AsyncClient": "async_client",
    "Bounds": "bounds",
    "Client": "client",
    "ClientCertificate": "credentials",
    "StaticToken": "credentials",
    "WorkloadToken": "credentials",
    "BadCiphertext": "errors",
    "BadName": "errors",
    "Error": "errors",
    "MessageTooLong": "errors",
}


def __getattr__(name: str) -> object:
    """A public name, from its module, when it is first asked for: who reads the format alone loads no HTTP."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'refused')}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
