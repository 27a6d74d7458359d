"""What ends the demo early, in words for the person who started it."""

from __future__ import annotations


class DemoFailed(Exception):
    """The sentence says what did not happen and where to look."""


class DemoStopped(Exception):
    """Somebody pressed Ctrl-C, or the demo was asked to end."""
