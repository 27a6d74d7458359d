"""How whoever runs this installation gives it a command: what pages, mails and refusals show can be pasted as it is.

A process is told once at its start, by its settings (``control.operator_command``).
"""

from __future__ import annotations

from typing import Final

PLACE: Final = "{command}"
USUAL: Final = f"openkcm {PLACE}"


class _Way:
    words = USUAL


def commands_are_given_as(words: str) -> None:
    """From now on ``command`` puts what it is given in the place of ``{command}`` in these words."""
    _Way.words = words


def command(words: str) -> str:
    """The whole line for a shell, of a command such as ``tenants list``."""
    return _Way.words.replace(PLACE, words)
