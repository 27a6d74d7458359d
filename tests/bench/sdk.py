"""What the message format costs an application beside the bare cipher with the same random nonces."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from openkcm_client.message import generate_data_key
from tests.bench.figures import Figure, middle

ROUNDS = 9
_ROUND_S = 0.4


async def sdk() -> list[Figure]:
    """Messages per second of a data key, as a part of those of AES-256-GCM alone."""
    return [
        _figure("sdk.encrypt.1KiB.vs_raw", 1024),
        _figure("sdk.encrypt.64KiB.vs_raw", 65_536),
    ]


def _figure(name: str, size: int) -> Figure:
    data_key = generate_data_key(os.urandom(32), os.urandom(16), "tenant", "service")
    raw, plaintext = AESGCM(os.urandom(32)), os.urandom(size)

    def ours() -> None:
        data_key.encrypt(plaintext)

    def bare() -> None:
        nonce = os.urandom(12)
        raw.encrypt(nonce, plaintext, None)

    ratios: list[float] = []
    references: list[float] = []
    for number in range(ROUNDS):
        pair = dict.fromkeys((ours, bare), 0.0)
        for work in (ours, bare) if number % 2 else (bare, ours):
            pair[work] = _per_second(work)
        ratios.append(pair[ours] / pair[bare])
        references.append(pair[bare])
    return Figure(name=name, value=middle(ratios), unit="ratio", reference=middle(references), rounds=ROUNDS)


def _per_second(work: Callable[[], None]) -> float:
    count, began = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - began) < _ROUND_S:
        for _ in range(50):
            work()
        count += 50
    return count / elapsed
