"""The plugin's hook: mail goes out when a host is set."""

from __future__ import annotations

from collections.abc import Mapping

from openkcm.sdk.hookspecs import hookimpl
from openkcm.sdk.notifier import Notifier
from openkcm_notify_smtp.notifier import SmtpNotifier
from openkcm_notify_smtp.settings import smtp_settings


@hookimpl
def openkcm_notifier(settings: Mapping[str, str]) -> Notifier | None:
    """Mail by the server at ``host``; None where no host is set."""
    checked = smtp_settings(settings)
    return SmtpNotifier(checked) if checked else None
