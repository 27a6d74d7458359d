"""What is written down of uses: lines that are not sealed yet. Pure.

A chain is ``TENANT/REGION/PROCESS``; the process's own, of no tenant, is ``/REGION/PROCESS``. No name of ours has a
slash in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple

import msgspec

from openkcm.crypto.usage.gathered import Gathered
from openkcm.crypto.uses import Use

DONE: Final = "done"
#: Verbs of the process itself; a caller's are those of its routes.
START: Final = "start"
STOP: Final = "stop"
DROP: Final = "drop"
DOUBT: Final = "doubt"
NOTHING: Final[Mapping[str, object]] = {}

_ENCODER: Final = msgspec.json.Encoder(order="deterministic")


class Line(NamedTuple):
    """An entry before it is sealed. How many ``uses`` it tells of stands in ``detail`` too: only there it is sealed."""

    tenant: str
    actor: str
    verb: str
    object: str
    outcome: str
    uses: int
    detail: bytes


def line(  # an entry has so many fields
    tenant: str,
    *,
    actor: str,
    verb: str,
    object_: str = "",
    outcome: str = DONE,
    count: int = 1,
    told: Mapping[str, object] = NOTHING,
) -> Line:
    """The line with this detail besides its count."""
    return Line(tenant, actor, verb, object_, outcome, count, _ENCODER.encode({"count": count, **told}))


def chain_name(tenant: str, region: str, process: str) -> str:
    """The chain of a tenant's uses by this process; of the process itself with an empty ``tenant``."""
    return f"{tenant}/{region}/{process}"


def lines_of(gathered: Gathered, *, process: str) -> Iterator[Line]:
    """Everything that was gathered: counts, the first refusals of each kind and what is told singly, one by one."""
    period = {"since": stamp(gathered.since), "until": stamp(gathered.until)}
    for use, count in gathered.counts.items():
        at_s = gathered.refused.get(use, ())
        for one in at_s:
            yield _single(use, one, process)
        if count > len(at_s):
            yield line(
                use.tenant,
                actor=_actor(use, process),
                verb=use.verb,
                object_=object_of(use.service, use.key_id),
                outcome=use.outcome,
                count=count - len(at_s),
                told=period,
            )
    for use, one in gathered.alone:
        yield _single(use, one, process)
    for tenant, count in gathered.dropped.items():
        yield line(tenant, actor=region_actor(process), verb=DROP, count=count, told=period)


def object_of(service: str, key_id: bytes) -> str:
    """What was used: ``SERVICE/KEY``, without a service for a tenant key, without a key where none was found."""
    return f"{service}/{key_id.hex()}"


def region_actor(process: str) -> str:
    """How the region's own process is named."""
    return f"region:{process}"


def stamp(at: datetime) -> str:
    """The time as an entry's detail has it: UTC, in microseconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _single(use: Use, at_s: float, process: str) -> Line:
    return line(
        use.tenant,
        actor=_actor(use, process),
        verb=use.verb,
        object_=object_of(use.service, use.key_id),
        outcome=use.outcome,
        told={"at": stamp(datetime.fromtimestamp(at_s, UTC))},
    )


def _actor(use: Use, process: str) -> str:
    return f"caller:{use.caller}" if use.caller else region_actor(process)
