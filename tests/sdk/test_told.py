"""What the kit looks for: a secret in any of the forms and places in which one is usually told."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from urllib.parse import quote

import pytest

from openkcm.sdk.conformance.told import Ear, Secrets

SECRET = "p&ss/wörd-1234"
PEM = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\n-----END PRIVATE KEY-----"


@pytest.mark.parametrize(
    "told",
    [
        lambda value: value,
        lambda value: quote(value, safe=""),
        lambda value: base64.b64encode(value.encode()).decode(),
        lambda value: value.encode().hex(),
        lambda value: {"Authorization": value},
        lambda value: [ValueError(value)],
    ],
)
def test_a_secret_is_found_in_any_form(told: Callable[[str], object]) -> None:
    with pytest.raises(AssertionError, match="told by a test") as failed:
        Secrets([SECRET]).assert_none_in("a test", told(SECRET))
    assert SECRET not in str(failed.value)


def test_each_line_of_a_secret_is_one() -> None:
    with pytest.raises(AssertionError):
        Secrets([PEM]).assert_none_in("a test", "MIGHAgEAMBMGByqGSM49")


def test_what_every_key_begins_with_is_none() -> None:
    Secrets([PEM]).assert_none_in("a test", "The key has to begin with -----BEGIN PRIVATE KEY-----.")


def test_a_key_is_found_as_bytes_too() -> None:
    with pytest.raises(AssertionError):
        Secrets([bytes(range(32))]).assert_none_in("a test", {"key": bytes(range(32))})


def chained(*, cause: bool) -> Exception:
    try:
        try:
            raise ValueError(SECRET)
        except ValueError as inner:
            if cause:
                raise RuntimeError("outer") from inner
            raise RuntimeError("outer") from None
    except RuntimeError as outer:
        return outer


@pytest.mark.parametrize("cause", [True, False])
def test_what_hangs_on_an_error_is_looked_at(cause: bool) -> None:
    with pytest.raises(AssertionError):
        Secrets([SECRET]).assert_none_in("a test", chained(cause=cause))


def test_notes_attributes_and_groups_are_looked_at() -> None:
    noted = ValueError("x")
    noted.add_note(SECRET)
    with pytest.raises(AssertionError):
        Secrets([SECRET]).assert_none_in("a test", ExceptionGroup("several", [noted]))


def test_a_log_record_is_heard_with_its_fields_at_any_level() -> None:
    log = logging.getLogger("vendor")
    with pytest.raises(AssertionError, match="a log record"), Ear(Secrets([SECRET])):
        log.debug("sent %s", SECRET)
    with pytest.raises(AssertionError, match="a log record"), Ear(Secrets([SECRET])):
        log.info("sent", extra={"header": SECRET})
    with pytest.raises(AssertionError, match="a log record"), Ear(Secrets([SECRET])):
        log.error("failed", exc_info=ValueError(SECRET))
    with Ear(Secrets([SECRET])):
        log.info("sent")
