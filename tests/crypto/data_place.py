"""A door of the data plane for one tenant with two services, and a caller for each."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx2
import msgspec
import pytest

from openkcm.crypto.contract import DesiredCaller, DesiredKey, MintItem, Verb
from openkcm.crypto.data.answer import Answers
from openkcm.crypto.mint import mint
from openkcm.crypto.uses import Use
from openkcm.kernel.db import DB
from tests.crypto.answering import answers_of
from tests.crypto.doors import DOORS, opened
from tests.crypto.plane import Plane, one
from tests.crypto.world import keys_of

ALL: tuple[Verb, ...] = ("encrypt", "decrypt", "rewrap")
CALLERS = [
    DesiredCaller(name="shop", service="default", verbs=ALL),
    DesiredCaller(name="desk", service="other", verbs=ALL),
]


@dataclass
class Door:
    """A door of ``local``; each call says the path below ``/v1/`` and the body's fields."""

    plane: Plane
    answers: Answers
    http: httpx2.AsyncClient
    minted: list[DesiredKey]
    tokens: dict[tuple[str, ...], str] = field(default_factory=dict)

    async def token(
        self, *verbs: Verb, caller: str = "shop", service: str = "default", leaf: str = ""
    ) -> str:
        name = (caller, service, leaf, *verbs)
        if name not in self.tokens:
            self.tokens[name] = self.answers._tokens.make(
                tenant="acme",
                caller=caller,
                service=service,
                verbs=verbs or ALL,
                expires_at_s=int(self.plane.clock.now().timestamp()) + 800,
                leaf=leaf,
            )
        return self.tokens[name]

    async def post(self, path: str, token: str = "", /, **fields: Any) -> httpx2.Response:  # noqa: ANN401 - what JSON takes
        return await self.http.post(
            f"/v1/{path}", json=fields, headers={"Authorization": f"Bearer {token or await self.token()}"}
        )

    async def raw(
        self,
        path: str,
        body: bytes,
        token: str = "",
        *,
        media: str | None = "application/json",
        **headers: str,
    ) -> httpx2.Response:
        said = {"Authorization": f"Bearer {token or await self.token()}"} | headers
        if media is not None:
            said["Content-Type"] = media
        return await self.http.post(f"/v1/{path}", content=body, headers=said)

    async def done(self, path: str, /, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - what JSON takes
        answer = await self.post(path, **fields)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def message(self, plaintext: bytes = b"secret", /, **fields: Any) -> str:  # noqa: ANN401 - what JSON takes
        return str((await self.done("encrypt", plaintext=b64(plaintext), **fields))["message"])

    async def apply(self, keys: list[DesiredKey] | None = None, **changes: Any) -> None:  # noqa: ANN401 - as decide has them
        changes = {"callers": CALLERS} | changes
        await self.plane.local.apply(
            self.plane.world.decide("acme", keys=self.minted if keys is None else keys, **changes)
        )

    async def rotate(self) -> bytes:
        """Another key of the service encrypts from now on; its id."""
        generation = self.plane.local.here.state.view("acme").mark.generation
        made = await self.plane.local.renew("acme", "default", generation=generation, token=f"r{generation}")
        (record,) = [r for r in made.records if r.statement.service == "default"]
        new = DesiredKey(
            key_id=record.statement.key_id, level="L3", service="default", version=2, state="active"
        )
        self.minted = [
            msgspec.structs.replace(key, state="decrypt-only")
            if key.service == "default" and key.state == "active"
            else key
            for key in self.minted
        ] + [new]
        await self.apply()
        return bytes.fromhex(new.key_id)

    def uses(self) -> dict[Use, int]:
        return self.plane.local.here.uses.take()[0]


def b64(raw: bytes) -> str:
    return b64encode(raw).decode()


def is_refused(answer: httpx2.Response, code: str, status: int) -> None:
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


@pytest.fixture(params=DOORS)
async def door(plane: Plane, request: pytest.FixtureRequest) -> AsyncIterator[Door]:
    local = plane.local
    await local.apply(plane.world.decide("acme", callers=CALLERS))
    item = MintItem(tenant="acme", generation=1, services=("default", "other"), token="t")
    minted = keys_of(one(await local.run(mint, item)))
    answers = answers_of(local.here)
    async with (
        opened(answers, request.param) as port,
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http,
    ):
        made = Door(plane, answers, http, minted)
        await made.apply()
        DB.pool = local.pool
        yield made
