"""Whether what a document says of ends contradicts what it says of use. Pure."""

from __future__ import annotations

from openkcm.crypto.contract import Desired


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
