"""One test vector as a file of ``message-format/``, written by the reference and read by everybody."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.vectors.reader import joined
from tests.vectors.writer import SEGMENT, Inputs, fixed, message, segment_giving, stream

FOLDER = Path(__file__).parent / "message-format"
_RUN = re.compile(rb"(.)\1{63}", re.DOTALL)

MESSAGE = Inputs(
    suite=1,
    tenant="acme",
    service="default",
    l3=fixed("l3", 32),
    l3_key_id=fixed("l3 key id", 16),
    l4=fixed("l4", 32),
    wrap_nonce=fixed("wrap nonce", 24),
    random=fixed("nonce", 12),
    aad=b"row 17",
)
STREAM = replace(
    MESSAGE,
    suite=2,
    l4=fixed("stream l4", 32),
    wrap_nonce=fixed("stream wrap nonce", 24),
    random=fixed("salt", 32),
    aad=b"backup of 2026-11-27",
)
OTHER_L3 = fixed("another l3", 32)


def moved(given: Inputs) -> Inputs:
    """The same, re-wrapped: L3, its id and the wrap nonce are others."""
    return replace(
        given,
        l3=OTHER_L3,
        l3_key_id=fixed("another l3 key id", 16),
        wrap_nonce=fixed("another wrap nonce", 24),
    )


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is read, by whom, and what comes of it: ``plaintext``, or a refusal where that is None."""

    name: str
    given: Inputs
    data: bytes
    plaintext: bytes | None = None

    @property
    def path(self) -> Path:
        return FOLDER / f"{re.sub('[^a-z0-9]+', '-', self.name.lower()).strip('-')}.json"

    def written(self) -> str:
        return json.dumps(self._fields(), indent=2, ensure_ascii=False) + "\n"

    def _fields(self) -> dict[str, object]:
        given = self.given
        fields: dict[str, object] = {
            "name": self.name,
            "expect": "refused" if self.plaintext is None else "opens",
            "tenant": given.tenant,
            "service": given.service,
            "l3": given.l3.hex(),
            "aad": _pieces(given.aad),
            "ciphertext": _pieces(self.data),
        }
        if self.plaintext is None:
            return fields
        digest = hashlib.sha256(self.plaintext).hexdigest()
        fields["plaintext"] = {"bytes": len(self.plaintext), "sha256": digest}
        if len(self.plaintext) <= 64:
            fields["plaintext"] |= {"hex": self.plaintext.hex()}  # type: ignore[operator] # a dict, three lines up
        random = "nonce" if given.suite == 1 else "salt"
        fields["made_with"] = {
            "l4": given.l4.hex(),
            "wrap_nonce": given.wrap_nonce.hex(),
            random: given.random.hex(),
        }
        return fields


def sealed(name: str, given: Inputs, plaintext: bytes) -> Case:
    """A whole message that opens."""
    return Case(name=name, given=given, data=message(given, plaintext), plaintext=plaintext)


def streamed(name: str, given: Inputs, parts: list[bytes]) -> Case:
    """A stream that opens."""
    return Case(name=name, given=given, data=b"".join(stream(given, parts)), plaintext=b"".join(parts))


def full(given: Inputs, at: int, *, last: bool = False) -> bytes:
    """The plaintext of a full segment, whose ciphertext is one byte (0xa0 + its number) repeated."""
    return segment_giving(given, at, 0xA0 + at, last=last, length=SEGMENT)


def flipped(data: bytes, at: int, bit: int = 1) -> bytes:
    return data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]


def load() -> list[dict[str, Any]]:
    """All vectors on file, in the order of their names."""
    return [json.loads(path.read_bytes()) for path in sorted(FOLDER.glob("*.json"))]


def plaintext_fits(vector: dict[str, Any], plaintext: bytes) -> bool:
    """Whether this is the plaintext that the vector expects."""
    expected = vector["plaintext"]
    found = {"bytes": len(plaintext), "sha256": hashlib.sha256(plaintext).hexdigest()}
    return bool(expected == found | ({"hex": plaintext.hex()} if "hex" in expected else {}))


def data_of(vector: dict[str, Any]) -> tuple[bytes, bytes]:
    """(ciphertext, associated data) of a vector."""
    return joined(vector["ciphertext"]), joined(vector["aad"])


def _pieces(data: bytes) -> list[object]:
    return list(_runs(data))


def _runs(data: bytes) -> Iterator[object]:
    at = 0
    while run := _RUN.search(data, at):
        end = len(data) - len(data[run.start() :].lstrip(run[1]))
        if run.start() > at:
            yield data[at : run.start()].hex()
        yield {"byte": run[1].hex(), "times": end - run.start()}
        at = end
    if at < len(data):
        yield data[at:].hex()
