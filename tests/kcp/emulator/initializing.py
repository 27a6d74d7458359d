"""What keeps a workspace Initializing: kcp's own initializers, as conditions and labels show them."""

from __future__ import annotations

import hashlib

from tests.kcp.emulator.objects import Json, condition

UNIVERSAL, BINDER = "root:universal", "system:apibindings"


def initializing(left: list[str]) -> Json:
    message = f"Initializers still exist: [{' '.join(left)}]"
    return condition("WorkspaceInitialized", status=False, reason="InitializerExists", message=message)


def initializer_labels(names: list[str]) -> dict[str, str]:
    hashes = [hashlib.sha224(name.encode()).hexdigest() for name in names]
    return {f"initializer.internal.kcp.io/{one[:35]}": one for one in hashes}
