"""The recordings, read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.kcp.emulator.objects import Json, decode

FOLDER = Path(__file__).parent / "recordings"


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and what kcp said."""

    number: int
    name: str
    method: str
    path: str
    sent: object
    status: int
    headers: dict[str, str]
    body: Json | str


def exchanges(name: str) -> list[Exchange]:
    made = []
    for number, raw in enumerate((FOLDER / name).read_bytes().splitlines()):
        line = decode(raw)
        request = line["request"]
        made.append(
            Exchange(
                number,
                line["name"],
                request["method"],
                request["path"],
                request["body"],
                line["status"],
                line["headers"],
                line["body"],
            )
        )
    return made


def events(name: str) -> list[Json]:
    """The events of a watch."""
    return [decode(raw)["event"] for raw in (FOLDER / name).read_bytes().splitlines()]


def clusters(name: str) -> dict[str, list[str]]:
    """The cluster IDs of a watch on bindings, by path, in the order in which they appeared."""
    found: dict[str, list[str]] = {}
    for event in events(name):
        annotations = event["object"]["metadata"]["annotations"]
        held = found.setdefault(annotations["kcp.io/path"], [])
        if annotations["kcp.io/cluster"] not in held:
            held.append(annotations["kcp.io/cluster"])
    return found
