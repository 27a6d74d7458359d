"""C2SP's accumulated test of XAES-256-GCM: ``python -m tests.vectors.accumulated`` does its million of iterations.

That takes a quarter of a minute, so the test suite does the ten thousand only.
"""

from __future__ import annotations

import sys
from hashlib import shake_128
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHAKE128, XOFHash

from openkcm_client.xaes import XAES256GCM

FILE = Path(__file__).parent / "xaes-256-gcm.txt"


def published() -> list[dict[str, str]]:
    """The stanzas of the file: two vectors, and the digest for each number of iterations."""
    stanzas = FILE.read_text().split("\n\n")[1:]
    return [
        {key: value.strip() for key, _, value in (line.partition(":") for line in stanza.splitlines())}
        for stanza in stanzas
    ]


def digests() -> dict[int, str]:
    """The published digest for each number of iterations."""
    return {int(one["iterations"]): one["shake128"] for one in published() if "iterations" in one}


def accumulated(iterations: int) -> str:
    """The digest of so many ciphertexts, each of which was decrypted again."""
    random, digest = XOFHash(SHAKE128(digest_size=sys.maxsize)), shake_128()
    for _ in range(iterations):
        key, nonce = random.squeeze(32), random.squeeze(24)
        plaintext, aad = (random.squeeze(n) if (n := random.squeeze(1)[0]) else b"" for _ in range(2))
        cipher = XAES256GCM(key)
        ciphertext = cipher.encrypt(nonce, plaintext, aad)
        if cipher.decrypt(nonce, ciphertext, aad) != plaintext:
            raise AssertionError("what was encrypted does not come back")
        digest.update(ciphertext)
    return digest.hexdigest(32)


if __name__ == "__main__":
    for number, expected in digests().items():
        found = accumulated(number)
        print(f"{number:>9,} iterations: {found} {'as published' if found == expected else 'WRONG'}")
        if found != expected:
            raise SystemExit(1)
