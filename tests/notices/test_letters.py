"""Mails say it in plain words, in text and HTML alike, with the plain address and the dates."""

from __future__ import annotations

import dataclasses
import html
import re
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Any

import pytest

from openkcm.kernel.commands import USUAL, commands_are_given_as
from openkcm.notices.end_letters import DestroyedLetter, EndWaitsLetter, StoppedLetter
from openkcm.notices.key_letters import KeyDestroyedLetter, KeyStoppedLetter
from openkcm.notices.key_store_letters import (
    KeyStoreHealedLetter,
    KeyStoreSilentLetter,
    KeyStoreStoppedLetter,
)
from openkcm.notices.letters import (
    DelayedLetter,
    DeletingLetter,
    FailedLetter,
    Letter,
    OwnerLetter,
    ReadyLetter,
    ResourceRemovedLetter,
    ReturnedLetter,
    TakingBackLetter,
    UninstalledLetter,
    write,
)
from openkcm.sdk.refusals import Remedy
from openkcm.web.templates import folder

AT = datetime(2026, 10, 12, 14, 2, 29, tzinfo=UTC)
ABOUT: dict[str, Any] = {
    "tenant": "2k7f9q1xw4m8zt3c",
    "account_name": "Payments",
    "address": "https://keys.example/t/2k7f9q1xw4m8zt3c",
}
KEPT: dict[str, Any] = {"key_id": "c0ffee", "what": "version 1 of service default", "region": "Dublin"}
DELAYED: dict[str, Any] = {
    "waits_for": "Making the platform-managed key",
    "detail": "The region Stockholm does not answer.",
    "attempt": 9,
}
LETTERS: dict[str, Letter] = {
    "ready": ReadyLetter(**ABOUT, protected_at=AT, took_s=1.24, regions=("Frankfurt", "Dublin")),
    "delayed": DelayedLetter(**ABOUT, **DELAYED, waiting_s=61, over=False, protected=True),
    "over": DelayedLetter(**ABOUT, **DELAYED, waiting_s=300, over=True, protected=False),
    "failed": FailedLetter(
        **ABOUT, at=AT, why="No region oslo.", remedy=Remedy("Add the region.", "The operator")
    ),
    "not-taken-back": FailedLetter(
        **ABOUT, at=AT, why="No region oslo.", remedy=Remedy("Look.", "The operator"), taken_back=False
    ),
    "taking-back": TakingBackLetter(**ABOUT, **DELAYED, waiting_s=61),
    "owner": OwnerLetter(**ABOUT),
    "uninstalled": UninstalledLetter(**ABOUT, at=AT, read_only_until=AT + timedelta(days=30)),
    "resource-removed": ResourceRemovedLetter(**ABOUT, at=AT),
    "returned": ReturnedLetter(**ABOUT, at=AT),
    "deleting": DeletingLetter(**ABOUT, at=AT, destroyed_after=AT + timedelta(days=30)),
    "stopped": StoppedLetter(**ABOUT, at=AT),
    "key-stopped": KeyStoppedLetter(**ABOUT, **KEPT, unknown=False, at=AT),
    "key-doubtful": KeyStoppedLetter(**ABOUT, **KEPT, unknown=True, at=AT),
    "key-destroyed": KeyDestroyedLetter(
        **ABOUT,
        key_id="c0ffee",
        what="version 1 of service default",
        regions=("Frankfurt", "Dublin"),
        destroyed_at=AT,
        backups_end_at=AT + timedelta(days=14),
    ),
    **{
        f"key-store-{name}": KeyStoreSilentLetter(
            **ABOUT,
            store="Azure Key Vault",
            regions=("Frankfurt", "Dublin"),
            since=AT,
            doubtful=name == "doubtful",
            said="The store did not answer in time.",
            remedy=Remedy("Look at the network.", "the key's owner"),
            ends_at=ends_at,
        )
        for name, ends_at in (("silent", AT + timedelta(days=1)), ("doubtful", None))
    },
    **{
        f"key-store-{name}": KeyStoreStoppedLetter(
            **ABOUT,
            store="Azure Key Vault",
            regions=("Frankfurt",),
            since=AT,
            refused=name == "refused",
            said="",
            remedy=Remedy("Enable the key.", "the key's owner"),
        )
        for name in ("refused", "over")
    },
    "key-store-healed": KeyStoreHealedLetter(
        **ABOUT, store="Azure Key Vault", regions=("Frankfurt",), since=AT, still=("Dublin",)
    ),
    "end-waits": EndWaitsLetter(
        **ABOUT, held=False, why="Region oslo is away.", remedy=Remedy("Start it.", "The operator")
    ),
    "end-held": EndWaitsLetter(
        **ABOUT, held=True, why="The account is there.", remedy=Remedy("Find out why.", "The operator")
    ),
    "destroyed": DestroyedLetter(
        **ABOUT,
        regions=("Frankfurt", "Dublin"),
        destroyed_at=AT,
        backups_end_at=AT + timedelta(days=14),
    ),
}
LETTERS |= {
    f"{name}-operator": dataclasses.replace(letter, to_operator=True) for name, letter in LETTERS.items()
}


def words(markup: str) -> str:
    """The text that a reader of the HTML sees."""
    body = re.sub(r"<title>.*?</title>", "", markup, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


@pytest.mark.parametrize("name", LETTERS)
def test_text_and_html_carry_the_same_plain_address(name: str) -> None:
    written = write(LETTERS[name])
    assert written.text.count(ABOUT["address"]) == 1
    assert f'href="{ABOUT["address"]}"' in written.html
    assert f">{ABOUT['address']}</a>" in written.html


@pytest.mark.parametrize("name", LETTERS)
def test_a_letter_fits_a_mail_and_a_screen(name: str) -> None:
    written = write(LETTERS[name])
    assert len(written.subject) < 78
    assert written.subject.startswith("Payments: ")
    assert max(len(line) for line in written.text.splitlines()) <= 100
    assert "\n\n\n" not in written.text
    assert "{{" not in written.text + written.html
    assert "sign-in/" not in written.text + written.html, "a mail never holds a way in"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ready", ["12 Oct 2026, 14:02:29", "1.2 s", "Frankfurt and Dublin"]),
        ("delayed", ["1 min 1 s", "attempt 9", "Stockholm does not answer", "Encryption is on already"]),
        ("over", ["5 min", "Encryption is not on yet"]),
        (
            "key-store-silent",
            [
                "does not answer",
                "Azure Key Vault, asked by Frankfurt and Dublin",
                "everything, until 13 Oct 2026, 14:02",
                "Look at the network.",
                "the key's owner",
            ],
        ),
        ("key-store-doubtful", ["a doubtful answer", "everything.", "Look at the network."]),
        ("key-store-refused", ["refused the use", "nothing in these regions", "Enable the key."]),
        ("key-store-over", ["longer than", "Nothing is lost", "Enable the key."]),
        ("key-store-healed", ["answers again", "Not yet: Dublin.", "There is nothing to do."]),
        ("failed", ["No region oslo.", "Add the region.", "The operator"]),
        ("not-taken-back", ["could not all be taken back"]),
        ("taking-back", ["Taking back the set-up of Payments", "1 min 1 s", "attempt 9", "does not answer"]),
        ("uninstalled", ["12 Oct 2026, 14:02", "11 Nov 2026, 14:02", "kept"]),
        ("returned", ["12 Oct 2026, 14:02", "with the same keys"]),
        ("deleting", ["11 Nov 2026, 14:02", "destroyed", "can never be read again"]),
        (
            "stopped",
            ["12 Oct 2026, 14:02", "nothing is encrypted or decrypted", "never destroyed", "same keys"],
        ),
        (
            "key-stopped",
            [
                "It is version 1 of service default.",
                "used in region Dublin",
                "12 Oct 2026, 14:02",
                "c0ffee",
                "Nothing is lost",
            ],
        ),
        ("key-doubtful", ["region Dublin was restored", "c0ffee"]),
        ("key-destroyed", ["version 1 of service default", "Frankfurt", "26 Oct 2026, 14:02", "c0ffee"]),
        ("end-waits", ["Region oslo is away.", "Start it.", "tried again by itself"]),
        (
            "end-held",
            ["The account is there.", "held until you release it", "tenants release 2k7f9q1xw4m8zt3c"],
        ),
        ("destroyed", ["12 Oct 2026, 14:02", "26 Oct 2026, 14:02", "Frankfurt and Dublin", "certificate"]),
    ],
)
def test_a_letter_says_what_happened_in_both_forms(name: str, said: list[str]) -> None:
    written = write(LETTERS[name])
    for form in (" ".join(written.text.split()), words(written.html)):
        for sentence in said:
            assert sentence in form.replace("\u00a0", " ")


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("delayed", "openkcm tenants show 2k7f9q1xw4m8zt3c"),
        ("over", "openkcm tenants cancel 2k7f9q1xw4m8zt3c"),
        ("failed", "openkcm tenants retry 2k7f9q1xw4m8zt3c"),
        ("deleting", "openkcm tenants show 2k7f9q1xw4m8zt3c"),
        ("uninstalled", "openkcm tenants show 2k7f9q1xw4m8zt3c"),
        ("stopped", "openkcm tenants show 2k7f9q1xw4m8zt3c"),
        ("destroyed", "openkcm tenants certificate 2k7f9q1xw4m8zt3c"),
    ],
)
def test_only_the_operator_gets_commands(name: str, command: str) -> None:
    for form in ("text", "html"):
        assert command in getattr(write(LETTERS[f"{name}-operator"]), form)
        assert command not in getattr(write(LETTERS[name]), form)


def test_what_is_past_the_pivot_is_not_offered_to_be_taken_back() -> None:
    assert "tenants cancel" not in write(LETTERS["delayed-operator"]).text


def test_markup_in_a_name_is_text_and_a_line_break_no_header() -> None:
    letter = dataclasses.replace(LETTERS["ready"], account_name="<b>x</b>\r\nBcc: all@example.org")
    written = write(letter)
    assert "<b>x" not in written.html
    assert "&lt;b&gt;x" in written.html
    assert "<b>x</b>" in written.text
    mail = EmailMessage()
    mail["Subject"] = written.subject
    assert mail.keys() == ["Subject"]
    assert mail["Bcc"] is None


def test_every_mail_template_has_a_letter_in_both_forms() -> None:
    found = {path.stem for path in (folder() / "mail").iterdir()} - {"frame"}
    assert found == {letter.template.removeprefix("mail/") for letter in LETTERS.values()}
    assert {path.suffix for path in (folder() / "mail").iterdir()} == {".txt", ".html"}


def test_commands_in_letters_are_those_of_this_installation() -> None:
    commands_are_given_as("openkcm {command} --state /srv/keys")
    try:
        for name, command in (
            ("owner", "tenants grant 2k7f9q1xw4m8zt3c --username NAME"),
            ("over-operator", "tenants cancel 2k7f9q1xw4m8zt3c"),
            ("over-operator", "doctor"),
        ):
            assert f"openkcm {command} --state /srv/keys\n" in write(LETTERS[name]).text
    finally:
        commands_are_given_as(USUAL)


def test_the_command_that_starts_again_stands_once_in_a_letter() -> None:
    again = Remedy("Start it again with: openkcm tenants retry 2k7f9q1xw4m8zt3c", "operator")
    written = write(dataclasses.replace(LETTERS["failed-operator"], remedy=again))  # type: ignore[call-arg]  # a FailedLetter
    assert written.text.count("tenants retry") == 1
    assert written.html.count("tenants retry") == 1


def test_the_operator_is_said_to_have_been_told_only_where_there_is_one() -> None:
    for told in (True, False):
        written = write(dataclasses.replace(LETTERS["delayed"], operator_told=told))  # type: ignore[call-arg]  # a DelayedLetter
        for form in (" ".join(written.text.split()), words(written.html)):
            assert ("The operator has been told too" in form) is told
            assert "There is nothing for you to do." in form


def test_what_is_taken_back_is_not_said_to_be_set_up() -> None:
    written = write(LETTERS["taking-back"])
    for form in (written.text, written.html, written.subject):
        assert "cancel" not in form
        assert "setting up" not in form.lower()
