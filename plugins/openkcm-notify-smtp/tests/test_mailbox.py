from __future__ import annotations

import pytest

from openkcm_notify_smtp.mailbox import NoMailbox, mailbox


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("jane@acme.example", "jane@acme.example"),
        ("Jane.Doe+kcm@ACME.example", "Jane.Doe+kcm@acme.example"),
        ("jane@localhost", "jane@localhost"),
        ("jane@bücher.example", "jane@xn--bcher-kva.example"),
        ("用户@例子.example", "用户@xn--fsqu00a.example"),
    ],
)
def test_a_mail_address_is_taken_with_its_domain_in_ascii(text: str, address: str) -> None:
    assert mailbox(text).address == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "jane",
        "@acme.example",
        "jane@",
        "jane doe@acme.example",
        "jane\u00a0doe@acme.example",
        "jane@acme.example\r\nRCPT TO:<eve@evil.example>",
        "jane\n@acme.example",
        "<jane@acme.example>",
        '"jane doe"@acme.example',
        "jane@[127.0.0.1]",
        "jane@acme..example",
        "jane@-acme.example",
        ".jane@acme.example",
        "a@b@acme.example",
        "jane,joe@acme.example",
        "j" * 65 + "@acme.example",
        "jane@" + "a" * 64 + ".example",
        "jane@acme.example\0",
        "\ud800@acme.example",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(NoMailbox):
        mailbox(text)
