"""Whether what the emulator says is what was recorded, up to what no two kcps have in common."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.kcp.emulator.objects import Json, decode

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_UNIQUE = {"uid", "UID", "identityHash"}
_SECRET = {"token"}


@dataclass
class Likeness:
    """Compares values one after the other. What is unique (UIDs, hashes of keys) must be unique in the same way.

    Resource versions must stand in the same order: where one recorded version is below another, ours is not above, and
    where they are the same, so are ours. (A real kcp writes much besides, so its versions have gaps.)
    """

    urls: dict[str, str]
    """Recorded hosts by ours."""
    names: dict[str, str] = field(default_factory=dict)
    back: dict[str, str] = field(default_factory=dict)
    versions: dict[int, int] = field(default_factory=dict)
    ordered: bool = True

    def differences(self, recorded: object, ours: object, at: str = "") -> Iterator[str]:
        """What is not alike, by its place; nothing where all is."""
        if isinstance(recorded, dict) and isinstance(ours, dict):
            for name in sorted({*recorded, *ours}):
                where = f"{at}.{name}"
                if name not in ours:
                    yield f"{where} is missing"
                elif name not in recorded:
                    yield f"{where} is too much: {ours[name]!r}"
                else:
                    yield from self._member(name, recorded[name], ours[name], where)
        elif isinstance(recorded, list) and isinstance(ours, list):
            if len(recorded) != len(ours):
                yield f"{at} has {len(ours)} items, recorded {len(recorded)}"
            for number, (one, other) in enumerate(zip(recorded, ours, strict=False)):
                yield from self.differences(one, other, f"{at}[{number}]")
        elif isinstance(recorded, str) and isinstance(ours, str):
            yield from self._text(recorded, ours, at)
        elif recorded != ours:
            yield f"{at} is {ours!r}, recorded {recorded!r}"

    def _member(self, name: str, recorded: object, ours: object, at: str) -> Iterator[str]:
        if isinstance(recorded, str) and isinstance(ours, str):
            if name in _SECRET:
                return
            if name in _UNIQUE:
                yield from self._unique(recorded, ours, at)
                return
            if name == "resourceVersion":
                yield from self.version(int(recorded), int(ours), at)
                return
            if name == "continue" and recorded and ours:
                one, other = _token(recorded), _token(ours)
                yield from self.version(one.pop("rv"), other.pop("rv"), at)
                yield from self.differences(one, other, at)
                return
        yield from self.differences(recorded, ours, at)

    def _unique(self, recorded: str, ours: str, at: str) -> Iterator[str]:
        if self.names.setdefault(recorded, ours) != ours or self.back.setdefault(ours, recorded) != recorded:
            yield f"{at} is {ours}, which was the counterpart of {self.back[ours]}, recorded {recorded}"

    def version(self, recorded: int, ours: int, at: str) -> Iterator[str]:
        known = self.versions.setdefault(recorded, ours)
        if not self.ordered:
            return
        if known != ours:
            yield f"{at} is {ours}, recorded {recorded}, which was {known} before"
        below = max((key for key in self.versions if key < recorded), default=None)
        if below is not None and self.versions[below] > ours:
            yield f"{at} is {ours}, below {self.versions[below]}, recorded {recorded} and {below}"

    def _text(self, recorded: str, ours: str, at: str) -> Iterator[str]:
        for url, host in self.urls.items():
            ours = ours.replace(url, host)
            ours = ours.replace(url.partition("//")[2], host.partition("//")[2])
        if recorded.startswith("{") and ours.startswith("{"):
            yield from self.differences(decode(recorded.encode()), decode(ours.encode()), at)
        elif recorded != ours and not (_TIME.fullmatch(recorded) and _TIME.fullmatch(ours)):
            yield f"{at} is {ours!r}, recorded {recorded!r}"


def _token(text: str) -> Json:
    held: Json = decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return held
