"""Tokens: exchanged for what proves the caller, renewed in time, asked for once, and never shown."""

from __future__ import annotations

import asyncio
import copy
import pickle
from pathlib import Path

import httpx2
import pytest

from openkcm_client import (
    AsyncClient,
    BadAnswer,
    BadName,
    ClientCertificate,
    NotAuthenticated,
    NotPermitted,
    StaticToken,
    WorkloadToken,
)
from openkcm_client.credentials import Credentials
from tests.client.conftest import Make
from tests.client.strict_region import FakeTime, StrictRegion, changed, problem, says


@pytest.fixture
def file(tmp_path: Path, region: StrictRegion) -> Path:
    """A projected token, which the platform keeps fresh."""
    path = tmp_path / "token"
    path.write_text("first-proof\n")
    region.proofs = {"first-proof"}
    return path


@pytest.fixture
def workload(make: Make, file: Path) -> AsyncClient:
    return make(credentials=WorkloadToken(file, caller="shop"))


async def test_a_workloads_token_is_exchanged_for_the_regions(
    workload: AsyncClient, region: StrictRegion
) -> None:
    assert await workload.decrypt(await workload.encrypt(b"x")) == b"x"
    assert region.asked == ["/v1/token", "/v1/data-keys"]
    asked = region.items[0]
    assert (asked.tenant, asked.service, asked.caller) == ("acme", "default", "shop")  # type: ignore[attr-defined]  # a request
    assert asked.verbs == ("encrypt", "decrypt")  # type: ignore[attr-defined]  # a request


@pytest.mark.parametrize("other", [{"tenant": "globex"}, {"service": "archive"}])
@pytest.mark.parametrize("local", [True, False])
async def test_a_token_of_another_tenant_or_service_is_said_to_be_so(
    make: Make, kcm: AsyncClient, other: dict[str, str], local: bool
) -> None:
    mistaken, message = make(**other, local=local), await kcm.encrypt(b"x")
    for what in (mistaken.encrypt(b"x"), mistaken.decrypt(message), mistaken.rewrap(message)):
        with pytest.raises(NotPermitted, match="not-permitted"):
            await what


async def test_a_token_is_renewed_before_it_expires_and_the_file_is_read_again(
    workload: AsyncClient, region: StrictRegion, time: FakeTime, file: Path
) -> None:
    await workload.encrypt(b"x")
    file.write_text("second-proof")
    region.proofs = {"second-proof"}
    time.passes(650)
    await workload.encrypt(b"x")  # with the first token; another is being fetched
    assert region.asked.count("/v1/token") == 1
    await until_asked(region, "/v1/token", 2)
    time.passes(400)  # the first one is over
    await workload.encrypt(b"x")
    assert region.asked.count("/v1/token") == 2


async def test_who_needs_a_token_at_once_asks_for_one(workload: AsyncClient, region: StrictRegion) -> None:
    await asyncio.gather(
        workload.encrypt(b"x"), workload.rewrap(bytes(8) + bytes(120)), return_exceptions=True
    )
    heads = [b"OKCM\x00\x01\x00\x01" + bytes([n]) * 120 for n in range(5)]
    await asyncio.gather(*(workload.rewrap(head) for head in heads), return_exceptions=True)
    assert region.asked.count("/v1/token") == 1


async def test_a_token_that_is_refused_is_replaced_once(workload: AsyncClient, region: StrictRegion) -> None:
    await workload.encrypt(b"x")
    region.tokens.clear()
    await workload.rewrap(await workload.encrypt(b"x"))
    assert region.asked == ["/v1/token", "/v1/data-keys", "/v1/rewrap", "/v1/token", "/v1/rewrap"]
    region.faults += [says(problem("token-invalid")), says(problem("token-invalid"))]
    region.asked.clear()
    region.tokens.clear()
    with pytest.raises(NotAuthenticated):
        await workload.rewrap(await workload.encrypt(b"x"))
    assert region.asked == ["/v1/rewrap", "/v1/token"]


async def test_the_home_pages_token_is_not_replaced(
    kcm: AsyncClient, region: StrictRegion, time: FakeTime
) -> None:
    region.tokens["home-page"] = time.wall_s + 60
    await kcm.encrypt(b"x")
    time.passes(61)
    with pytest.raises(NotAuthenticated):
        await kcm.encrypt(b"x")
    assert region.asked == ["/v1/data-keys", "/v1/data-keys"]


@pytest.mark.parametrize("ahead_s", [-100_000, -600, 600, 100_000])
async def test_a_clock_that_is_wrong_does_not_ask_for_a_token_each_time(
    workload: AsyncClient, region: StrictRegion, time: FakeTime, ahead_s: float
) -> None:
    region.faults.append(changed(lambda body: body.update(expires_at_s=int(body["expires_at_s"] - ahead_s))))
    message = await workload.encrypt(b"x")
    for _ in range(10):
        await workload.rewrap(message)
    assert region.asked.count("/v1/token") == 1


@pytest.mark.parametrize("token", ["", "two words", "line\nbreak", "x" * 20_000, "ü", None, 7])
async def test_a_token_that_is_none_is_not_used(
    workload: AsyncClient, region: StrictRegion, token: object
) -> None:
    region.faults.append(changed(lambda body: body.update(token=token)))
    with pytest.raises(BadAnswer):
        await workload.encrypt(b"x")
    assert region.asked == ["/v1/token"]


async def test_a_refused_exchange_is_told(workload: AsyncClient, file: Path) -> None:
    file.write_text("another")
    with pytest.raises(NotAuthenticated) as refused:
        await workload.encrypt(b"x")
    assert "another" not in str(refused.value)


async def test_a_token_that_cannot_be_read_names_the_file(workload: AsyncClient, file: Path) -> None:
    file.unlink()
    with pytest.raises(NotAuthenticated, match="token-unreadable") as refused:
        await workload.encrypt(b"x")
    assert str(file) in str(refused.value)


async def test_a_function_may_give_the_token(make: Make, region: StrictRegion) -> None:
    region.proofs = {"made"}
    await make(credentials=WorkloadToken(lambda: "made", caller="shop")).encrypt(b"x")
    assert region.asked == ["/v1/token", "/v1/data-keys"]


async def test_a_certificate_that_cannot_be_read_names_its_files(make: Make, tmp_path: Path) -> None:
    (tmp_path / "tls.crt").write_text("nonsense")
    proof = ClientCertificate(tmp_path / "tls.crt", tmp_path / "tls.key", caller="shop")
    with pytest.raises(NotAuthenticated, match=r"tls\.key"):
        await make(credentials=proof).encrypt(b"x")


async def test_each_region_has_a_token_of_its_own(make: Make, region: StrictRegion, file: Path) -> None:
    seen: list[tuple[str, str, str]] = []

    class Regions(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            path, token = request.url.path, request.headers.get("authorization", "")
            seen.append((request.url.host, path, token))
            if request.url.host == "one.example" and path == "/v1/rewrap":
                raise httpx2.ConnectError("down", request=request)
            return await region.handle_async_request(request)

    kcm = make(
        address=["https://one.example", "https://two.example"],
        credentials=WorkloadToken(file, caller="shop"),
        transport=Regions(),
    )
    await kcm.rewrap(await kcm.encrypt(b"x"))
    assert [(host, path) for host, path, _ in seen] == [
        ("one.example", "/v1/token"),
        ("one.example", "/v1/data-keys"),
        ("one.example", "/v1/rewrap"),
        ("two.example", "/v1/token"),
        ("two.example", "/v1/rewrap"),
    ]
    assert seen[2][2] != seen[4][2]


@pytest.mark.parametrize(
    "proof",
    [
        StaticToken("s3cret"),
        WorkloadToken(lambda: "s3cret", caller="shop"),
        ClientCertificate("tls.crt", "s3cret.key", caller="shop"),
    ],
)
def test_credentials_are_neither_shown_nor_copied_nor_pickled(proof: Credentials) -> None:
    assert "s3cret" not in repr(proof) + str(proof)
    for act in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            act(proof)


@pytest.mark.parametrize("caller", ["", "Shop", "a b"])
def test_a_caller_has_the_form_of_a_name(caller: str) -> None:
    with pytest.raises(BadName):
        WorkloadToken("file", caller=caller)


async def until_asked(region: StrictRegion, path: str, times: int) -> None:
    """The background, a thread for the file among it, has come so far."""
    async with asyncio.timeout(10):
        while region.asked.count(path) < times:
            await asyncio.sleep(0)
