from __future__ import annotations

from pathlib import Path

import pytest

from openkcm.sdk.refusals import Permanent, Refusal
from openkcm_notify_smtp.plugin import openkcm_notifier
from openkcm_notify_smtp.settings import Security, smtp_settings

GOOD = {"host": "mail.example", "from": "OpenKCM <kcm@acme.example>"}


def test_without_a_host_there_is_no_mail() -> None:
    assert openkcm_notifier({}) is None


def test_what_is_not_said_is_the_safe_usual() -> None:
    settings = smtp_settings(GOOD)
    assert settings is not None
    assert (settings.security, settings.port, settings.timeout_s) == (Security.STARTTLS, 587, 10.0)
    assert settings.tls is not None
    assert settings.tls.check_hostname


def test_a_password_is_not_shown() -> None:
    settings = smtp_settings(GOOD | {"username": "kcm", "password": "correct horse"})
    assert "correct horse" not in repr(settings)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"security": "plain"}, "security"),
        ({"security": "ssl"}, "security"),
        ({"host": "smtp://mail.example"}, "host"),
        ({"host": "mail.example:25/x"}, "host"),
        ({"port": "0"}, "port"),
        ({"port": "many"}, "port"),
        ({"timeout_s": "nan"}, "timeout_s"),
        ({"connections": "1000"}, "connections"),
        ({"from": "no address"}, "from"),
        ({"from": "a@b.example\r\nBcc: eve@evil.example"}, "from"),
        ({"from": ""}, "from"),
        ({"username": "kcm"}, "username"),
        ({"password": "x"}, "username"),
        ({"username": "kcm", "password": "x", "password_file": "/x"}, "password_file"),
        ({"username": "kcm", "password_file": "/no/such/file"}, "password_file"),
        ({"ca_file": "/no/such/file"}, "ca_file"),
        ({"verify": "false"}, "verify"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_by_its_name(wrong: dict[str, str], named: str) -> None:
    with pytest.raises(Permanent) as refused:
        smtp_settings(GOOD | wrong)
    assert refused.value.refusal in {Refusal.SETTING_INVALID, Refusal.SETTING_MISSING}
    assert f"The setting {named} " in refused.value.message


def test_a_ca_file_without_certificates_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(Permanent):
        smtp_settings(GOOD | {"ca_file": str(tmp_path / "ca.pem")})
