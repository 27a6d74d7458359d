"""Many at once, each with a result of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, TypeVar

from openkcm_client.engine import Engine
from openkcm_client.errors import Error
from openkcm_client.leases import Opened
from openkcm_client.message import DataKey

AT_ONCE: Final = 4000
"""Items under way in one moment; as many batches of a thousand."""

T = TypeVar("T")


def paired(firsts: Iterable[bytes], aads: Iterable[bytes] | None) -> list[tuple[bytes, bytes]]:
    """Each with its associated data.

    Raises:
        ValueError: there are not as many of the one as of the other.
    """
    if aads is None:
        return [(first, b"") for first in firsts]
    return list(zip(firsts, aads, strict=True))


async def ask_many(
    verb: Callable[..., Awaitable[bytes]], items: Sequence[tuple[bytes, ...]]
) -> list[bytes | Error]:
    """What the verb came to for each item."""
    results: list[bytes | Error] = []
    for at in range(0, len(items), AT_ONCE):
        some = (_caught(verb(*item)) for item in items[at : at + AT_ONCE])
        results += await asyncio.gather(*some)
    return results


async def open_many(engine: Engine, envelopes: Sequence[bytes]) -> dict[bytes, Opened[DataKey] | Error]:
    """The opened data key of each envelope, or why there is none."""
    found: dict[bytes, Opened[DataKey] | Error] = {}
    for at in range(0, len(envelopes), AT_ONCE):
        some = envelopes[at : at + AT_ONCE]
        found |= zip(some, await asyncio.gather(*(_caught(engine.open(one)) for one in some)), strict=True)
    return found


def settled(results: Iterable[bytes | Error]) -> list[bytes]:
    """The results, of which none is an error.

    Raises: the first error.
    """
    good: list[bytes] = []
    for result in results:
        if isinstance(result, Error):
            raise result
        good.append(result)
    return good


async def _caught(work: Awaitable[T]) -> T | Error:
    try:
        return await work
    except Error as error:
        return error
