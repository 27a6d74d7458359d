"""REQ-015: what must not be in a log is not in it, whoever logs it."""

from __future__ import annotations

import json
import logging

import pytest

from openkcm.kernel.log import configure_logging, get_logger

CANARY = "canary-7f3a"


@pytest.mark.parametrize(
    "said",
    [
        {"password": CANARY},
        {"dsn": f"postgresql://u:{CANARY}@h/db"},
        {"address": f"redis://user:{CANARY}@127.0.0.1/0"},
        {"header": f"Bearer {CANARY}"},
        {"url": f"http://127.0.0.1/t/t1/sign-in/{CANARY}{CANARY}"},
        {"blob": CANARY.encode()},
        {"nested": {"api_token": CANARY, "list": [f"Bearer {CANARY}"]}},
        {"pem": f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----"},
        {"error": ValueError(CANARY)},
    ],
)
def test_secrets_do_not_reach_the_log(said: dict[str, object], capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(process="test")
    get_logger().warning("something.happened", tenant="t1", **said)
    line = capsys.readouterr().err
    assert CANARY not in line
    assert json.loads(line)["tenant"] == "t1"


def test_an_exception_is_logged_by_type_and_place_and_not_by_its_words(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging()
    try:
        raise ValueError(CANARY)
    except ValueError:
        get_logger().exception("it.failed")
    line = capsys.readouterr().err
    assert CANARY not in line
    assert json.loads(line)["error"] == "ValueError"
    assert json.loads(line)["at"]


def test_a_library_that_logs_by_itself_is_redacted_too(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    logging.getLogger("some.library").error("connecting to %s", f"https://u:{CANARY}@h/")
    assert CANARY not in capsys.readouterr().err


def test_a_clients_requests_are_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    logging.getLogger("httpx2").info("HTTP Request: GET http://127.0.0.1/%s", CANARY)
    assert capsys.readouterr().err == ""
