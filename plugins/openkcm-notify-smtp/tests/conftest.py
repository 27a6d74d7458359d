"""Fixtures around a real mail server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from openkcm.sdk.conformance.notifier import Counterpart, Received
from openkcm.sdk.notifier import Notifier
from openkcm.sdk.testing.mail_server import MailServer, Paper, Starter, make_paper
from openkcm_notify_smtp.plugin import openkcm_notifier


@pytest.fixture(scope="session")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Paper:
    return make_paper(tmp_path_factory.mktemp("paper"))


class Mail(Counterpart):
    def __init__(self, server: MailServer) -> None:
        self.server = server

    def open(self) -> Notifier:
        notifier = openkcm_notifier(self.server.settings())
        assert notifier is not None
        return notifier

    def received(self) -> Sequence[Received]:
        return self.server.received()

    def go_away(self) -> None:
        self.server.go_away()

    def come_back(self) -> None:
        self.server.come_back()

    def refuse(self, recipient: str) -> None:
        self.server.post.refused[recipient] = "550 5.1.1 secret words of the server"

    def lose_next_answer(self) -> None:
        self.server.post.cut_at = "."


@pytest.fixture(params=["starttls", "tls"])
async def counterpart(request: pytest.FixtureRequest, paper: Paper) -> AsyncIterator[Mail]:
    server = MailServer(paper, security=request.param)
    await server.start()
    yield Mail(server)
    await server.stop()


@pytest.fixture
async def mail_server(paper: Paper) -> AsyncIterator[MailServer]:
    server = MailServer(paper)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def start_server(paper: Paper, tmp_path: Path) -> AsyncIterator[Starter]:
    started: list[MailServer] = []

    async def start(
        *, security: str = "starttls", host: str = "", login: bool = False, **options: bool
    ) -> MailServer:
        own = make_paper(tmp_path, host=host) if host else paper
        server = MailServer(own, security=security, login=login, **options)
        await server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        await server.stop()


@pytest.fixture
def other_ca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_paper(tmp_path_factory.mktemp("other")).ca
