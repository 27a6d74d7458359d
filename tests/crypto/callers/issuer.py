"""An issuer of OIDC tokens: its documents over real TLS, its keys, and tokens of every honest and hostile form."""

from __future__ import annotations

import asyncio
import base64
import hmac
import ssl
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import msgspec
from joserfc import jws
from joserfc.jwk import ECKey, Key, RSAKey

from openkcm.crypto.callers.key_set import ALL
from tests.crypto.callers.pki import Authority

DISCOVERY = "/.well-known/openid-configuration"
KEYS = "/keys"
_REGISTRY = jws.JWSRegistry(algorithms=sorted(ALL))


def ec_key(kid: str = "one") -> ECKey:
    return ECKey.generate_key("P-256", {"kid": kid, "use": "sig"}, auto_kid=False)


def rsa_key(kid: str = "one") -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": kid, "use": "sig"}, auto_kid=False)


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def claims(issuer: str, audience: str | list[str], **changes: object) -> dict[str, object]:
    """What a good token says now, with changes; None leaves one out."""
    now = int(time.time())
    said: dict[str, object] = {
        "iss": issuer,
        "sub": "backend",
        "aud": audience,
        "iat": now,
        "exp": now + 600,
    } | changes
    return {name: value for name, value in said.items() if value is not None}


def signed(key: Key, said: dict[str, object], *, alg: str = "ES256", **header: object) -> str:
    """The token, signed by this key as its header says."""
    kid = {} if key.kid is None else {"kid": key.kid}
    return jws.serialize_compact(
        {"alg": alg, **kid, **header}, msgspec.json.encode(said), key, registry=_REGISTRY
    )


def unsigned(said: dict[str, object], **header: object) -> str:
    """A token that nobody signed."""
    head = b64(msgspec.json.encode({"alg": "none", **header}))
    return f"{head}.{b64(msgspec.json.encode(said))}."


def coded(secret: bytes, said: dict[str, object], *, kid: str) -> str:
    """A token with a code (HS256) instead of a signature; the library does not make one with a public key."""
    head = b64(msgspec.json.encode({"alg": "HS256", "kid": kid}))
    covered = f"{head}.{b64(msgspec.json.encode(said))}"
    return f"{covered}.{b64(hmac.digest(secret, covered.encode(), 'sha256'))}"


@dataclass
class Issuer:
    """A server at ``https://localhost:PORT``. ``answers`` are put in the place of its own, by path."""

    directory: Path
    authority: Authority = field(default_factory=lambda: Authority("Issuer CA"))
    keys: list[Key] = field(default_factory=lambda: [ec_key()])
    host: str = "localhost"
    asked: Counter[str] = field(default_factory=Counter)
    answers: dict[str, bytes] = field(default_factory=dict)
    delay_s: float = 0.0
    port: int = 0
    _server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        certificate = self.authority.issue(self.host, "localhost", "127.0.0.1")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate.files(self.directory, f"issuer-{id(self)}"))
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        return f"https://{self.host}:{self.port}"

    def token(
        self, audience: str | list[str], *, key: Key | None = None, alg: str = "ES256", **changes: object
    ) -> str:
        return signed(key or self.keys[0], claims(self.url, audience, **changes), alg=alg)

    @property
    def public_pem(self) -> bytes:
        """The first key's public part."""
        key = self.keys[0]
        assert isinstance(key, ECKey)
        return key.as_pem(private=False)

    def documents(self) -> dict[str, Any]:
        return {
            DISCOVERY: {"issuer": self.url, "jwks_uri": f"{self.url}{KEYS}"},
            KEYS: {"keys": [key.as_dict(private=False) for key in self.keys]},
        }

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split()[1].decode()
            self.asked[path] += 1
            await asyncio.sleep(self.delay_s)
            writer.write(self.answers.get(path) or self._answer(path))
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            return  # whoever asked has gone
        finally:
            writer.close()

    def _answer(self, path: str) -> bytes:
        found = self.documents().get(path)
        return http(404) if found is None else http(200, msgspec.json.encode(found))


def http(status: int, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body
