"""Against a real server on a real socket: what is sent, over which connection, and what happens at every cut."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from pathlib import Path

import pytest

from openkcm.sdk.notifier import Message, Notifier
from openkcm.sdk.refusals import Permanent, Refusal, Refused, Temporary
from openkcm.sdk.testing.mail_server import MailServer, Starter
from openkcm_notify_smtp.plugin import openkcm_notifier

LETTER = Message(
    message_id="01J9QW3R7Z5K",
    recipient="jane@acme.example",
    subject="Payments is ready",
    text="Encryption is active.",
    html="<p>Encryption is active.</p>",
)


def open_notifier(server: MailServer, **settings: str) -> Notifier:
    notifier = openkcm_notifier(server.settings(**settings))
    assert notifier is not None
    return notifier


async def refused_by(sending: Awaitable[None]) -> Refused:
    with pytest.raises(Refused) as refused:
        await sending
    assert "secret words" not in refused.value.message
    assert refused.value.remedy is not None
    assert "secret words" not in refused.value.remedy.action
    return refused.value


async def test_the_headers_are_those_of_an_automatic_mail(mail_server: MailServer) -> None:
    notifier = open_notifier(mail_server)
    await notifier.send(LETTER)
    [(_, mail, content)] = mail_server.post.taken
    assert mail["From"] == "OpenKCM <kcm@acme.example>"
    assert mail["To"] == "jane@acme.example"
    assert mail["Message-ID"] == "<01J9QW3R7Z5K@acme.example>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Date"].datetime.tzinfo is not None
    assert mail.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    assert all(len(line) <= 998 for line in content.splitlines())
    await notifier.aclose()


@pytest.mark.parametrize(
    "hostile", ["a\r\nBcc: eve@evil.example", "x\n\nbody", "é" * 200, "", "<a@b>\r\nX: y", "\ud800", "\0"]
)
async def test_an_id_cannot_become_another_header(mail_server: MailServer, hostile: str) -> None:
    notifier = open_notifier(mail_server)
    await notifier.send(replace(LETTER, message_id=hostile, subject=hostile, text=hostile or "x"))
    [(recipient, mail, _)] = mail_server.post.taken
    assert recipient == "jane@acme.example"
    assert sorted(mail.keys()) == sorted(
        ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"]
    )
    await notifier.aclose()


async def test_messages_share_a_few_connections(mail_server: MailServer) -> None:
    notifier = open_notifier(mail_server, connections="2")
    await asyncio.gather(*(notifier.send(replace(LETTER, message_id=f"m{n}")) for n in range(20)))
    await notifier.send(LETTER)
    assert len(mail_server.post.taken) == 21
    assert mail_server.post.connections <= 2
    await notifier.aclose()


@pytest.mark.parametrize("command", ["CONNECT", "EHLO", "STARTTLS", "MAIL", "RCPT", "DATA", "."])
async def test_a_cut_at_any_answer_is_temporary_and_the_repeat_has_the_same_id(
    mail_server: MailServer, command: str
) -> None:
    notifier = open_notifier(mail_server)
    mail_server.post.cut_at = command
    refused = await refused_by(notifier.send(LETTER))
    assert isinstance(refused, Temporary)
    assert refused.refusal is Refusal.MAIL_NOT_ACCEPTED
    await notifier.send(LETTER)
    taken = [mail["Message-ID"] for _, mail, _ in mail_server.post.taken]
    assert taken == ["<01J9QW3R7Z5K@acme.example>"] * (2 if command == "." else 1)
    await notifier.aclose()


@pytest.mark.parametrize("command", ["EHLO", "MAIL", "."])
async def test_a_server_that_hangs_is_left_in_time(mail_server: MailServer, command: str) -> None:
    notifier = open_notifier(mail_server, timeout_s="0.2")
    mail_server.post.hang_at = command
    refused = await refused_by(notifier.send(LETTER))
    assert isinstance(refused, Temporary)
    assert "in time" in refused.message
    mail_server.post.hang_at = ""
    await notifier.send(LETTER)
    await notifier.aclose()


async def test_an_idle_connection_that_the_server_ended_costs_nothing(mail_server: MailServer) -> None:
    notifier = open_notifier(mail_server)
    await notifier.send(LETTER)
    mail_server.go_away()
    mail_server.come_back()
    await asyncio.sleep(0.1)
    await notifier.send(replace(LETTER, message_id="second"))
    assert len(mail_server.post.taken) == 2
    await notifier.aclose()


@pytest.mark.parametrize(
    ("command", "answer", "kind", "code"),
    [
        ("MAIL", "451 4.3.0 secret words", Temporary, Refusal.MAIL_NOT_ACCEPTED),
        ("MAIL", "550 5.7.1 secret words", Temporary, Refusal.MAIL_NOT_ACCEPTED),
        ("MAIL", "530 5.7.0 secret words", Temporary, Refusal.MAIL_NOT_ACCEPTED),
        ("RCPT", "450 4.2.0 secret words", Temporary, Refusal.MAIL_NOT_ACCEPTED),
        ("RCPT", "550 5.1.1 secret words", Permanent, Refusal.MAIL_REJECTED),
        ("RCPT", "554 5.7.1 secret words", Temporary, Refusal.MAIL_NOT_ACCEPTED),
        ("RCPT", "421 4.3.2 secret words", Temporary, Refusal.MAIL_NOT_ACCEPTED),
        ("DATA", "451 4.3.0 secret words", Temporary, Refusal.MAIL_NOT_ACCEPTED),
        ("DATA", "554 5.6.0 secret words", Permanent, Refusal.MAIL_REJECTED),
    ],
)
async def test_an_answer_means_what_the_protocol_says_and_the_next_message_goes_on(
    mail_server: MailServer, command: str, answer: str, kind: type[Refused], code: Refusal
) -> None:
    notifier = open_notifier(mail_server)
    mail_server.post.answers = {command: answer}
    refused = await refused_by(notifier.send(LETTER))
    assert type(refused) is kind
    assert refused.refusal is code
    mail_server.post.answers = {}
    await notifier.send(LETTER)
    assert len(mail_server.post.taken) == 1
    await notifier.aclose()


async def test_a_wrong_password_is_the_operators_and_no_mail_is_lost(
    start_server: Starter, tmp_path: Path
) -> None:
    server = await start_server(login=True)
    file = tmp_path / "password"
    file.write_text("wrong\n")
    notifier = open_notifier(server, password="", password_file=str(file))
    refused = await refused_by(notifier.send(LETTER))
    assert isinstance(refused, Temporary)
    assert "password" in refused.message
    file.write_text("correct horse\n")
    await notifier.send(LETTER)
    assert len(server.post.taken) == 1
    await notifier.aclose()


async def test_a_password_file_that_went_away_is_told(start_server: Starter, tmp_path: Path) -> None:
    server = await start_server(login=True)
    file = tmp_path / "password"
    file.write_text("correct horse")
    notifier = open_notifier(server, password="", password_file=str(file))
    file.unlink()
    refused = await refused_by(notifier.send(LETTER))
    assert isinstance(refused, Temporary)
    assert "file" in refused.message
    assert server.post.logins == []
    await notifier.aclose()


async def test_a_server_without_login_is_not_sent_a_password(start_server: Starter) -> None:
    server = await start_server(security="plain")
    notifier = open_notifier(server, username="kcm", password="correct horse")
    assert "log in" in (await refused_by(notifier.send(LETTER))).message
    await notifier.aclose()


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_another_ca_is_not_believed(start_server: Starter, other_ca: Path, security: str) -> None:
    server = await start_server(security=security)
    notifier = open_notifier(server, ca_file=str(other_ca))
    refused = await refused_by(notifier.send(LETTER))
    assert isinstance(refused, Temporary)
    assert "could not be recognised" in refused.message
    assert server.post.taken == []
    await notifier.aclose()


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_another_name_in_the_certificate_is_not_believed(start_server: Starter, security: str) -> None:
    server = await start_server(security=security, host="mail.elsewhere.example")
    notifier = open_notifier(server)
    assert "could not be recognised" in (await refused_by(notifier.send(LETTER))).message
    assert server.post.taken == []
    await notifier.aclose()


async def test_a_server_without_starttls_gets_no_mail(start_server: Starter) -> None:
    server = await start_server(security="plain")
    notifier = open_notifier(
        server, security="starttls", ca_file=str(server.paper.ca), username="kcm", password="secret"
    )
    refused = await refused_by(notifier.send(LETTER))
    assert isinstance(refused, Temporary)
    assert "STARTTLS" in refused.message
    assert server.post.taken == []
    await notifier.aclose()


async def test_plain_works_on_this_machine(start_server: Starter) -> None:
    server = await start_server(security="plain")
    notifier = open_notifier(server)
    await notifier.send(LETTER)
    assert len(server.post.taken) == 1
    await notifier.aclose()


async def test_a_domain_of_another_script_is_sent_in_ascii(mail_server: MailServer) -> None:
    notifier = open_notifier(mail_server)
    await notifier.send(replace(LETTER, recipient="jane@bücher.example"))
    assert mail_server.post.taken[0][0] == "jane@xn--bcher-kva.example"
    await notifier.aclose()


async def test_a_name_of_another_script_needs_smtputf8(start_server: Starter) -> None:
    able, unable = await start_server(), await start_server(smtputf8=False)
    letter = replace(LETTER, recipient="jürgen@acme.example", subject="Schlüssel")
    notifier = open_notifier(able)
    await notifier.send(letter)
    [(recipient, mail, _)] = able.post.taken
    assert (recipient, mail["Subject"]) == ("jürgen@acme.example", "Schlüssel")
    await notifier.aclose()
    notifier = open_notifier(unable)
    refused = await refused_by(notifier.send(letter))
    assert refused.refusal is Refusal.MAIL_REJECTED
    assert "SMTPUTF8" in refused.message
    await notifier.send(LETTER)
    await notifier.aclose()
