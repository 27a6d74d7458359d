"""What the SDK costs an application, beside the bare cipher with the same random nonces and beside other libraries."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.bench.figures import Figure, middle
from tests.bench.leased import leased_client
from tests.bench.load import CLIENT_CORE
from tests.bench.peers import aws_esdk, tink_aead, tink_envelope

ROUNDS = 7
SIZES: Mapping[str, int] = {"64B": 64, "1KiB": 1024, "64KiB": 65_536, "1MiB": 2**20}
AIMS = {"1KiB": 0.65, "64KiB": 0.85}
PEER_AIMS = {"tink_envelope": 3.0, "aws_esdk": 40.0}
_ROUND_S = 0.3

Work = Callable[[], object]


async def sdk() -> list[Figure]:
    """Messages a second through the client's own methods, with a leased key, as a part of those of the others."""
    found: list[Figure] = []
    async with leased_client() as client, _one_core():
        for label, size in SIZES.items():
            plaintext = os.urandom(size)
            message = await asyncio.to_thread(client.encrypt, plaintext)
            await asyncio.to_thread(client.decrypt, message)
            bare = AESGCM(os.urandom(32))
            nonce = os.urandom(12)
            sealed = bare.encrypt(nonce, plaintext, None)
            encrypting: dict[str, Work] = {
                "ours": lambda plaintext=plaintext: client.encrypt(plaintext),  # type: ignore[misc] # bound here
                "raw": lambda bare=bare, plaintext=plaintext: bare.encrypt(os.urandom(12), plaintext, None),  # type: ignore[misc] # bound here
            }
            if label == "1KiB":
                for make in (tink_aead, tink_envelope, aws_esdk):
                    encrypt = make()
                    encrypting[make.__name__] = lambda encrypt=encrypt, plaintext=plaintext: encrypt(
                        plaintext
                    )  # type: ignore[misc] # bound here
            found += _figures(f"sdk.encrypt.{label}", label, _rates(encrypting))
            decrypting: dict[str, Work] = {
                "ours": lambda message=message: client.decrypt(message),  # type: ignore[misc] # bound here
                "raw": lambda bare=bare, nonce=nonce, sealed=sealed: bare.decrypt(nonce, sealed, None),  # type: ignore[misc] # bound here
            }
            found += _figures(f"sdk.decrypt.{label}", "", _rates(decrypting))
    return found


@asynccontextmanager
async def _one_core() -> AsyncIterator[None]:
    """This thread, which measures, is moved by nobody; what is started later may run anywhere again."""
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {CLIENT_CORE})
    try:
        yield
    finally:
        os.sched_setaffinity(0, everywhere)


def _figures(name: str, label: str, rates: Mapping[str, Sequence[float]]) -> list[Figure]:
    return [
        Figure(
            name=f"{name}.vs_{peer}",
            value=middle([our / their for our, their in zip(rates["ours"], theirs, strict=True)]),
            unit="ratio",
            aim=AIMS.get(label) if peer == "raw" else PEER_AIMS.get(peer),
            at_least=True,
            reference=middle(list(theirs)),
            rounds=ROUNDS,
        )
        for peer, theirs in rates.items()
        if peer != "ours"
    ]


def _rates(works: Mapping[str, Work]) -> dict[str, list[float]]:
    """Each work's calls a second, round by round, in turn."""
    rates: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()
    for number in range(ROUNDS):
        for name in sorted(works, reverse=number % 2 == 0):
            rates[name].append(_per_second(works[name]))
    return rates


def _per_second(work: Work) -> float:
    count, step, began = 0, 1, time.perf_counter()
    while (elapsed := time.perf_counter() - began) < _ROUND_S:
        for _ in range(step):
            work()
        count += step
        step = min(64, step * 2) if elapsed < _ROUND_S / 10 else step
    return count / elapsed
