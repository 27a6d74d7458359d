"""Whom this installation tells what."""

from __future__ import annotations

import msgspec


class NoticesSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Messages to people."""

    operator: str = ""
    """The operator's e-mail address, told what takes too long or stopped. Empty: only log and pages say it."""
