"""Whether what a document says of ends contradicts what it says of use. Pure."""

from __future__ import annotations

import re
from typing import Final

from openkcm.crypto.contract import Desired
from openkcm.sdk.refusals import Permanent

_HASH: Final = re.compile(r"[0-9a-f]{64}")
_CONNECTION: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def check_end_said(desired: Desired) -> None:
    """No document lets a key be used and be destroyed: where the grace is counted, nothing works.

    Raises:
        ValueError: it does.
    """
    pending = desired.destroy_pending
    if pending is not None and (
        desired.access != "blocked"
        or not 0 <= pending.grace_s < 2**31
        or not (0, 1) <= pending.since <= (desired.epoch, desired.generation)
    ):
        raise ValueError("a destruction that is pending for a tenant which is not blocked, or out of range")
    if desired.destroyed is not None and (desired.access != "blocked" or desired.keys or pending):
        raise ValueError("a destroyed tenant with keys")


def check_key_ends_said(desired: Desired) -> None:
    """A key that encrypts is not destroyed under those who use it: its service, or the tenant, is stopped first.

    Raises:
        ValueError: it says otherwise.
    """
    stopped = {service.name for service in desired.services}
    for key in desired.keys:
        if key.destroy is None:
            continue
        if not 0 <= key.destroy.wait_s < 2**31 or not (0, 1) <= key.destroy.since <= (
            desired.epoch,
            desired.generation,
        ):
            raise ValueError("a key's destruction that is out of range")
        if key.state == "active" and (
            key.level == "L2" or (desired.access == "active" and key.service not in stopped)
        ):
            raise ValueError("a key that is in use and is to be destroyed")


def check_knowledge_said(desired: Desired) -> None:
    """It names documents by their hashes, each once, and a revoke by numbers that are not above its own.

    Raises:
        ValueError: it does not.
    """
    if len(set(desired.replaces)) != len(desired.replaces) or not all(map(_HASH.fullmatch, desired.replaces)):
        raise ValueError("what it replaces is no list of hashes")
    if desired.revoked is not None and not (0, 0) <= desired.revoked[1:] <= (
        desired.epoch,
        desired.generation,
    ):
        raise ValueError("a revoke that is newer than the document")


def check_connections_said(desired: Desired) -> None:
    """Every root key that a tenant key names has its way said, once, and the windows are in range.

    Raises:
        ValueError: it is not so.
    """
    connections = {connection.id for connection in desired.connections}
    if len(connections) != len(desired.connections) or not all(map(_CONNECTION.fullmatch, connections)):
        raise ValueError("a connection twice, or with a malformed id")
    for key in desired.keys:
        if key.connection and (key.level != "L2" or key.connection not in connections):
            raise ValueError("a key whose root key is not said")
    try:
        desired.policy.policy()
    except Permanent as wrong:
        raise ValueError(wrong.message) from None
