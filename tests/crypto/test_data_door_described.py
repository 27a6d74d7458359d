"""What ``/openapi.json`` says is so: schemathesis asks for everything that it allows and forbids."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import httpx2
import pytest

from openkcm.crypto.contract import TokenItem
from openkcm.crypto.data.described import REFUSALS
from openkcm.crypto.data.routes import ROUTES
from openkcm.serving.problem import STATUS
from tests.crypto.answering import answers_of
from tests.crypto.doors import opened
from tests.crypto.plane import Plane

pytestmark = pytest.mark.integration

#: What opens nothing, or names another tenant, is well-formed all the same: a refusal is the answer it has to have.
CONFIG = """
[checks]
positive_data_acceptance.expected-statuses = [200, 400, 403, 404, 409, 413, 429]
negative_data_rejection.expected-statuses = [400, 401, 403, 404, 405, 406, 413, 415]
"""


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_schemathesis_finds_nothing(plane: Plane, tmp_path: Path) -> None:
    await plane.protect("acme")
    item = TokenItem(tenant="acme", caller="shop", service="default", verbs=("encrypt", "decrypt"))
    token = (await plane.local.token(item)).token
    (tmp_path / "schemathesis.toml").write_text(CONFIG, "utf-8")
    async with opened(answers_of(plane.local.here), "hot") as port:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"),
            *("--config-file", str(tmp_path / "schemathesis.toml")),
            *("run", f"http://127.0.0.1:{port}/openapi.json", "--header", f"Authorization: Bearer {token}"),
            *("--checks", "all", "--mode", "all", "--phases", "examples,coverage,fuzzing"),
            *("--max-examples", "12", "--workers", "1", "--seed", "1", "--generation-database", "none"),
            *("--continue-on-failure", "--no-color"),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    assert f"{len(ROUTES) + 3}" in said.decode()


async def test_every_data_route_is_described_with_every_status_that_a_refusal_has(plane: Plane) -> None:
    async with (
        opened(answers_of(plane.local.here), "hot") as port,
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http,
    ):
        document = (await http.get("/openapi.json")).json()
    assert set(STATUS.values()) <= REFUSALS.keys()
    for route in ROUTES.values():
        said = document["paths"][route.path]["post"]
        assert said["responses"].keys() == {"200", *map(str, REFUSALS)}
        content = {"application/json"} | (
            {"application/octet-stream"}
            if route.kind.name in ("encrypt", "decrypt") and not route.batch
            else set()
        )
        assert said["requestBody"]["content"].keys() == content
        assert "Retry-After" in said["responses"]["429"]["headers"]
    assert {"/healthz", "/readyz", "/metrics"} <= document["paths"].keys()
