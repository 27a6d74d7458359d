"""What the page "Help and words" needs to know: nothing but whom to ask."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HelpPage:
    """``operator`` is whom to ask, as the installation's settings name it; None where they do not."""

    operator: str | None = None
