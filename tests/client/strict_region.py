"""A region's data door for the client's tests: the product's own messages, real cryptography, no network, and faults.

It is strict where a region may be: what it is sent must be exactly a request of ``wire``.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx2
import msgspec

from openkcm.crypto.data import wire
from openkcm.serving.problem import Problem
from openkcm_client.envelope import parse, parse_envelope
from openkcm_client.errors import FormatError
from openkcm_client.message import generate_data_key, unwrap
from openkcm_client.moments import Moments
from openkcm_client.rewrap import rewrap_envelope
from openkcm_client.wrapping import make_envelope, unwrap_l4

TENANT, SERVICE = "acme", "default"
SUITES = {"message": 1, "stream": 2}
STATUS = {
    "token-invalid": 401,
    "caller-unknown": 403,
    "not-permitted": 403,
    "key-revoked": 403,
    "key-suspended": 403,
    "key-read-only": 409,
    "key-not-active": 409,
    "ciphertext-invalid": 400,
    "bad-request": 400,
    "not-found": 404,
    "too-many": 429,
    "unavailable": 503,
}
Handler = Callable[[httpx2.Request], Awaitable[httpx2.Response]]
Fault = Callable[[httpx2.Request, Handler], Awaitable[httpx2.Response]]


class FakeTime:
    """Clocks that move when somebody waits, or when a test says so."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.wall_s = 1_700_000_000.0

    def passes(self, seconds: float) -> None:
        self.now_s += seconds
        self.wall_s += seconds

    async def pause(self, seconds: float) -> None:
        self.passes(seconds)
        await asyncio.sleep(0)

    def moments(self) -> Moments:
        return Moments(now=lambda: self.now_s, wall=lambda: self.wall_s, pause=self.pause, chance=lambda: 1.0)


class Said(Exception):
    """A refusal."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class StrictRegion(httpx2.AsyncBaseTransport):
    """Answers as a region does; ``asked`` are the paths, ``refusing`` the code that everything is refused with."""

    time: FakeTime = field(default_factory=FakeTime)
    encrypting_s: float = 30.0
    decrypting_s: float = 300.0
    refusing: str = ""
    refusing_to_encrypt: str = ""
    tokens: dict[str, float] = field(default_factory=lambda: {"home-page": float("inf")})
    proofs: set[str] = field(default_factory=set)
    faults: deque[Fault] = field(default_factory=deque)
    asked: list[str] = field(default_factory=list)
    items: list[object] = field(default_factory=list)
    down: bool = False

    def __post_init__(self) -> None:
        self.l3s: dict[str, bytes] = {}
        self.rotate()

    def rotate(self) -> None:
        """Another service key encrypts; the old ones decrypt."""
        self.active = os.urandom(16).hex()
        self.l3s[self.active] = os.urandom(32)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        await request.aread()
        self.asked.append(request.url.path)
        if self.down:
            raise httpx2.ConnectError("down", request=request)
        answer = self.faults.popleft() if self.faults else _honest
        given = await answer(request, self._answer)
        # As off a wire: a response that has its content already cannot be read piece by piece.
        return httpx2.Response(
            given.status_code, headers=given.headers, stream=httpx2.ByteStream(given.content)
        )

    async def _answer(self, request: httpx2.Request) -> httpx2.Response:
        try:
            return httpx2.Response(200, content=msgspec.json.encode(self._done(request)))
        except Said as said:
            return problem(said.code)
        except (msgspec.MsgspecError, FormatError):
            return problem("bad-request")

    def _done(self, request: httpx2.Request) -> object:
        path = request.url.path
        assert request.method == "POST"
        assert request.headers["content-type"] == "application/json"
        if path == "/v1/token":
            assert "authorization" not in request.headers
            return self._exchange(msgspec.json.decode(request.content, type=wire.TokenRequest))
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self.tokens.get(token, 0.0) <= self.time.wall_s:
            raise Said("token-invalid")
        single, batch = path.removesuffix("/batch"), path.endswith("/batch")
        if single not in self._verbs():
            raise Said("not-found")
        kind, verb = self._verbs()[single]
        if not batch:
            item = msgspec.json.decode(request.content, type=kind)
            if (item.tenant, item.service) != (TENANT, SERVICE):
                raise Said("not-permitted")
            return self._one(verb, item)
        of = kind.__base__
        items = msgspec.json.decode(request.content, type=wire.Batch[of]).items  # type: ignore[valid-type]  # a value here
        return wire.BatchAnswer(items=tuple(self._result(verb, item) for item in items))

    def _verbs(self) -> dict[str, tuple[Any, Callable[[Any], object]]]:
        return {
            "/v1/encrypt": (wire.EncryptRequest, self._encrypt),
            "/v1/decrypt": (wire.DecryptRequest, self._decrypt),
            "/v1/rewrap": (wire.RewrapRequest, self._rewrap),
            "/v1/data-keys": (wire.DataKeyRequest, self._data_key),
            "/v1/data-keys/open": (wire.OpenRequest, self._open),
            "/v1/leases": (wire.LeaseRequest, self._lease),
        }

    def _one(self, verb: Callable[[Any], object], item: object) -> object:
        self.items.append(item)
        if self.refusing:
            raise Said(self.refusing)
        return verb(item)

    def _result(self, verb: Callable[[Any], object], item: object) -> wire.Result[object]:
        try:
            return wire.Result(done=self._one(verb, item))
        except Said as said:
            return wire.Result(refusal=told(said.code))

    def _exchange(self, item: wire.TokenRequest) -> wire.TokenAnswer:
        self.items.append(item)
        if (item.tenant, item.service) != (TENANT, SERVICE) or item.assertion not in self.proofs:
            raise Said("token-invalid")
        token = f"okcm1.{os.urandom(8).hex()}"
        self.tokens[token] = self.time.wall_s + item.lifetime_s
        return wire.TokenAnswer(token=token, expires_at_s=int(self.tokens[token]), region="local")

    def _may_encrypt(self) -> None:
        if self.refusing_to_encrypt:
            raise Said(self.refusing_to_encrypt)

    def _encrypt(self, item: wire.EncryptItem) -> wire.Encrypted:
        self._may_encrypt()
        key = generate_data_key(self.l3s[self.active], bytes.fromhex(self.active), TENANT, SERVICE)
        return wire.Encrypted(message=key.encrypt(item.plaintext, item.aad or b""))

    def _decrypt(self, item: wire.DecryptItem) -> wire.Decrypted:
        try:
            envelope = parse(item.message)
            key = unwrap(self._l3(envelope.l3_key_id), envelope, TENANT, SERVICE)
            return wire.Decrypted(plaintext=key.decrypt(item.message, item.aad or b""))
        except FormatError:
            raise Said("ciphertext-invalid") from None

    def _rewrap(self, item: wire.RewrapItem) -> wire.Rewrapped:
        envelope = parse_envelope(item.envelope)
        new = rewrap_envelope(
            self._l3(envelope.l3_key_id),
            self.l3s[self.active],
            bytes.fromhex(self.active),
            envelope,
            TENANT,
            SERVICE,
        )
        return wire.Rewrapped(envelope=new.to_bytes(), key_id=self.active)

    def _data_key(self, item: wire.DataKeyItem) -> wire.LeasedKey:
        self._may_encrypt()
        l3 = self.l3s[self.active]
        _, envelope = make_envelope(
            l3, bytes.fromhex(self.active), TENANT, SERVICE, suite=SUITES[item.suite or "message"]
        )
        l4, _ = unwrap_l4(l3, envelope, TENANT, SERVICE)
        return wire.LeasedKey(
            key=l4, envelope=envelope.to_bytes(), key_id=self.active, lease_s=self.encrypting_s
        )

    def _open(self, item: wire.OpenItem) -> wire.LeasedKey:
        try:
            envelope = parse_envelope(item.envelope)
            l4, _ = unwrap_l4(self._l3(envelope.l3_key_id), envelope, TENANT, SERVICE)
        except FormatError:
            raise Said("ciphertext-invalid") from None
        return wire.LeasedKey(
            key=l4, envelope=item.envelope, key_id=envelope.l3_key_id.hex(), lease_s=self.decrypting_s
        )

    def _lease(self, item: wire.LeaseItem) -> wire.Lease:
        if item.key_id not in self.l3s:
            raise Said("ciphertext-invalid")
        if item.use == "decrypt":
            return wire.Lease(lease_s=self.decrypting_s)
        self._may_encrypt()
        if item.key_id != self.active:
            raise Said("key-not-active")
        return wire.Lease(lease_s=self.encrypting_s)

    def _l3(self, key_id: bytes) -> bytes:
        if key_id.hex() not in self.l3s:
            raise Said("ciphertext-invalid")
        return self.l3s[key_id.hex()]


def told(code: str) -> Problem:
    return Problem(
        type=f"urn:openkcm:problem:{code}",
        title=code,
        status=STATUS[code],
        code=code,
        detail=f"It is {code}.",
        action="Ask who disabled it.",
        who="tenant",
        reference="reference/errors",
    )


def problem(code: str, **headers: str) -> httpx2.Response:
    return httpx2.Response(STATUS[code], content=msgspec.json.encode(told(code)), headers=headers)


async def _honest(request: httpx2.Request, answer: Handler) -> httpx2.Response:
    return await answer(request)


def says(answer: httpx2.Response) -> Fault:
    """Somebody answers that, and nothing is done."""

    async def fault(_request: httpx2.Request, _answer: Handler) -> httpx2.Response:
        return answer

    return fault


def fails(error: type[httpx2.TransportError]) -> Fault:
    """The request is taken in, and its answer lost."""

    async def fault(request: httpx2.Request, answer: Handler) -> httpx2.Response:
        await answer(request)
        raise error("lost", request=request)

    return fault


def late(time: FakeTime, seconds: float) -> Fault:
    """The answer was made at once, and takes so long."""

    async def fault(request: httpx2.Request, answer: Handler) -> httpx2.Response:
        made = await answer(request)
        time.passes(seconds)
        return made

    return fault


def changed(change: Callable[[dict[str, Any]], object]) -> Fault:
    """The answer is another one."""

    async def fault(request: httpx2.Request, answer: Handler) -> httpx2.Response:
        body = msgspec.json.decode((await answer(request)).content)
        change(body)
        return httpx2.Response(200, content=msgspec.json.encode(body))

    return fault
