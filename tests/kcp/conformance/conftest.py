"""One kcp for the run, emulated or real, a random workspace in it, and for each test an offer of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.kcp.conformance.ground import Ground, Target, prepared
from tests.kcp.conformance.offer import Offer, offered
from tests.kcp.conformance.targets import EMULATED, emulated, real

REAL = "real"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A real kcp is one target; the emulator is two, as far as the module's ``TARGETS`` wants both."""
    if "target" in metafunc.fixturenames:
        given = metafunc.config.getoption("kubeconfig", None)
        wanted = [REAL] if given else getattr(metafunc.module, "TARGETS", tuple(EMULATED))
        metafunc.parametrize("target", wanted, indirect=True, scope="session")


@pytest.fixture(autouse=True, scope="session")
def no_network() -> None:
    """Here the kcp that the operator named may be anywhere; it is the only one that is asked."""


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    option = request.config.getoption
    if request.param == REAL:
        yield real(
            Path(option("kubeconfig")), restart=option("restart") or "", shards=option("expect_shards")
        )
        return
    with emulated(request.param, tmp_path_factory.mktemp("kcp")) as held:
        yield held


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def ground(target: Target, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    async with prepared(target, tmp_path_factory.mktemp("ground")) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def offer(ground: Ground) -> AsyncIterator[Offer]:
    """Our export, its rights and their tokens, in a workspace that no other test uses."""
    made = await offered(ground)
    yield made
    for api in made.apis:
        await api.aclose()


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Callable[[str, object], None]:
    """What a test has found out about this kcp is told at the end of the run."""

    def note(what: str, value: object) -> None:
        request.node.user_properties.append((what, value))

    return note


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for report in terminalreporter.getreports("passed"):
        if report.when == "call" and "tests/kcp/conformance/" in report.nodeid:
            for what, value in report.user_properties:
                terminalreporter.write_line(f"{report.nodeid.rpartition('::')[2]}: {what}: {value}")
