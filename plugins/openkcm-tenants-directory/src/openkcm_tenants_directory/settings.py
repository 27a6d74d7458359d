"""What an operator may set for the folder, checked once at start."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from openkcm.sdk.plain_text import plain_text
from openkcm.sdk.refusals import Permanent, Refusal, Remedy

_NAMES = frozenset(
    {"path", "issuer", "poll_s", "settle_s", "confirm_s", "all_gone_confirm_s", "max_bytes", "regions"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectorySettings:
    """``path`` is the folder; ``issuer`` knows the creators of accounts that name no issuer themselves.

    ``poll_s`` confirming scan, ``settle_s`` how long a file must rest before it is read, ``confirm_s`` between the two
    scans that must both miss a manifest, ``all_gone_confirm_s`` the same where every one of several tenants is gone at
    once, ``max_bytes`` of one file.
    """

    path: Path
    issuer: str = ""
    poll_s: float = 1.0
    settle_s: float = 0.05
    confirm_s: float = 1.0
    all_gone_confirm_s: float = 60.0
    max_bytes: int = 1_048_576


def directory_settings(given: Mapping[str, str]) -> DirectorySettings | None:
    """The checked settings; None where no ``path`` is set, which means that the folder is not used.

    Raises:
        Permanent: ``SETTING_INVALID``, naming the setting and what it may be.
    """
    unknown = sorted(set(given) - _NAMES)
    if unknown:
        raise _invalid(unknown[0], f"is not known; known are {', '.join(sorted(_NAMES))}")
    path = given.get("path", "").strip()
    if not path:
        return None
    if not Path(path).is_absolute():
        raise _invalid("path", "must be an absolute path, so that every process means the same folder")
    issuer = given.get("issuer", "").strip()
    if issuer and not (
        issuer.startswith(("https://", "http://")) and plain_text(issuer, max_characters=2048)
    ):
        raise _invalid("issuer", "must be the address of an OpenID Connect issuer, with https://")
    usual = DirectorySettings(path=Path(path))
    return DirectorySettings(
        path=Path(path),
        issuer=issuer,
        poll_s=_number(given, "poll_s", usual.poll_s, least=0.05, most=60),
        settle_s=_number(given, "settle_s", usual.settle_s, least=0, most=10),
        confirm_s=_number(given, "confirm_s", usual.confirm_s, least=1, most=3600),
        all_gone_confirm_s=_number(
            given, "all_gone_confirm_s", usual.all_gone_confirm_s, least=1, most=86_400
        ),
        max_bytes=int(_number(given, "max_bytes", usual.max_bytes, least=1024, most=16_777_216)),
    )


def _number(given: Mapping[str, str], name: str, usual: float, *, least: float, most: float) -> float:
    if name not in given:
        return usual
    try:
        number = float(given[name])
    except ValueError:
        number = math.nan
    if not least <= number <= most:
        raise _invalid(name, f"must be a number from {least} to {most}")
    return number


def _invalid(name: str, why: str) -> Permanent:
    return Permanent(
        Refusal.SETTING_INVALID,
        f"The setting {name} of the plugin tenants-directory {why}.",
        remedy=Remedy(
            "Correct the setting and start again.", "Platform operator", "plugins/tenants-directory"
        ),
    )
