"""Opens OpenKCM messages and streams, from docs/reference/message-format.md alone; nothing of OpenKCM is imported.

``python reader.py FILE.json ...`` answers each vector: the plaintext's length and SHA-256, or ``refused``.
"""

import hashlib
import hmac
import json
import sys
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


class Refused(Exception):
    """The one answer to everything that does not open."""


def enc(*items: bytes | int) -> bytes:
    raw = [item if isinstance(item, bytes) else item.to_bytes(8, "big") for item in items]
    return b"".join(len(item).to_bytes(4, "big") + item for item in raw)


def xaes_open(key: bytes, nonce: bytes, sealed: bytes, aad: bytes) -> bytes:
    halves = (CMAC(AES(key)), CMAC(AES(key)))
    for number, half in enumerate(halves, 1):
        half.update(bytes([0, number, 0x58, 0]) + nonce[:12])
    return AESGCM(halves[0].finalize() + halves[1].finalize()).decrypt(nonce[12:], sealed, aad)


def opened(l3: bytes, tenant: bytes, service: bytes, aad: bytes, data: bytes) -> bytes:
    """The plaintext of a whole message or a whole stream, by the L3 that it names."""
    suite = int.from_bytes(data[6:8], "big")
    body_at = {1: 140, 2: 160}.get(suite, 0)
    if data[:6] != b"OKCM\0\1" or not body_at or len(data) < body_at + 16 or len(aad) > 2**20:
        raise Refused
    key_id, nonce, wrapped, commitment = data[8:24], data[24:48], data[48:96], data[96:128]
    try:
        l4 = xaes_open(l3, nonce, wrapped, enc(b"L4", tenant, service, key_id))
        both = HKDF(SHA256(), 64, None, enc(suite, tenant, service)).derive(l4)
        if not hmac.compare_digest(both[32:], commitment):
            raise Refused
        bound = enc(b"OKCM", 1, suite, tenant, service, commitment, aad)
        if suite == 1:
            return AESGCM(both[:32]).decrypt(data[128:140], data[140:], bound)
        aead = AESGCM(HKDF(SHA256(), 32, data[128:160], enc(b"stream")).derive(both[:32]))
        segments = [data[at : at + 2**20 + 16] for at in range(160, len(data), 2**20 + 16)]
        if len(segments) > 1 and len(segments[-1]) <= 16:
            raise Refused
        lasts = [*(False for _ in segments[1:]), True]
        nonces = [at.to_bytes(11, "big") + bytes([last]) for at, last in enumerate(lasts)]
        return b"".join(aead.decrypt(n, part, bound) for n, part in zip(nonces, segments, strict=True))
    except InvalidTag:
        raise Refused from None


def joined(pieces: list[Any]) -> bytes:
    """A vector's bytes: pieces of hex, or one byte so many times."""
    runs = [(piece, 1) if isinstance(piece, str) else (piece["byte"], piece["times"]) for piece in pieces]
    return b"".join(bytes.fromhex(text) * times for text, times in runs)


def answer(vector: dict[str, Any]) -> bytes:
    l3, tenant, service = bytes.fromhex(vector["l3"]), vector["tenant"].encode(), vector["service"].encode()
    return opened(l3, tenant, service, joined(vector["aad"]), joined(vector["ciphertext"]))


if __name__ == "__main__":
    for name in sys.argv[1:]:
        try:
            text = answer(json.loads(Path(name).read_bytes()))
            print(name, len(text), hashlib.sha256(text).hexdigest())
        except Refused:
            print(name, "refused")
