"""What ``openkcm doctor`` is told of the mail server: whether mail could go out, and if not, why."""

from __future__ import annotations

from openkcm.sdk.checks import Checkable
from openkcm.sdk.testing.mail_server import MailServer
from openkcm_notify_smtp.plugin import openkcm_notifier


async def test_a_server_that_answers_is_well_and_one_that_is_away_is_named(mail_server: MailServer) -> None:
    notifier = openkcm_notifier(mail_server.settings(timeout_s="3"))
    assert isinstance(notifier, Checkable)
    (found,) = await notifier.check()
    assert found.level == "ok"
    mail_server.go_away()
    (found,) = await notifier.check()
    assert (found.level, bool(found.action)) == ("bad", True)
    mail_server.come_back()
    (found,) = await notifier.check()
    assert found.level == "ok"
    await notifier.aclose()
