"""Going on with the next one where the disk refuses for one: nobody's stop waits for another's."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec

from openkcm.sdk.refusals import Refused

_Given = ParamSpec("_Given")


def go_on(
    failed: list[Refused], do: Callable[_Given, None], *given: _Given.args, **named: _Given.kwargs
) -> None:
    """It is done, or ``failed`` has why it was refused."""
    try:
        do(*given, **named)
    except Refused as refused:
        failed.append(refused)
