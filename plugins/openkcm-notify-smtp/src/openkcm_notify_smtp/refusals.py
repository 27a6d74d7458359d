"""What went wrong with a mail server, in our words: never the server's own text, which may hold anything."""

from __future__ import annotations

import ssl

from aiosmtplib.errors import (
    SMTPAuthenticationError,
    SMTPDataError,
    SMTPNotSupported,
    SMTPRecipientRefused,
    SMTPRecipientsRefused,
    SMTPResponseException,
    SMTPSenderRefused,
)

from openkcm.sdk.refusals import Permanent, Refusal, Refused, Remedy, Temporary

_PAGE = "plugins/notify-smtp"
_PERMANENT = range(500, 600)
_AUTHENTICATION = 530


def refusal_of(failure: BaseException, *, server: str) -> Refused:
    """The refusal that tells of ``failure``; whatever the operator can mend is temporary, so that no mail is lost."""
    if isinstance(failure, SMTPRecipientsRefused) and failure.recipients:
        failure = failure.recipients[0]
    if isinstance(failure, SMTPRecipientRefused):
        return _of_recipient(failure, server)
    if isinstance(failure, SMTPResponseException):
        return _of_answer(failure, server)
    if certificate := _certificate(failure):
        return _operator(
            f"The mail server {server} could not be recognised: {certificate}.",
            "Set ca_file to the CA that signed the server's certificate, and host to the name in it.",
        )
    if isinstance(failure, SMTPNotSupported):
        return _unsupported(server)
    if isinstance(failure, TimeoutError):
        return _later(f"The mail server {server} did not answer in time.")
    return _later(f"The mail server {server} could not be reached, or ended the connection.")


def no_starttls(*, server: str) -> Refused:
    """The refusal of a server that does not offer to encrypt; nothing was sent to it."""
    return _operator(
        f"The mail server {server} does not offer STARTTLS, and mail is never sent unencrypted.",
        "Switch STARTTLS on at the server, or use its TLS port with security = tls.",
    )


def no_login(*, server: str) -> Refused:
    """The refusal of a server that offers no way to log in, though a user name is set."""
    return _operator(
        f"The mail server {server} offers no way to log in.",
        "Take username and password out of the settings, or switch authentication on at the server.",
    )


def no_password(*, server: str) -> Refused:
    """The refusal of a password file that went away after the start."""
    return _operator(
        f"The password for the mail server {server} cannot be read from its file.",
        "Put the file named by password_file back, readable by the worker's user.",
    )


def no_recipient(reason: str) -> Refused:
    """The refusal of a recipient that is no mail address."""
    return Permanent(
        Refusal.RECIPIENT_INVALID,
        f"The recipient is no mail address: {reason}",
        remedy=Remedy(
            "Name the account's owner by a mail address (openkcm tenants grant).", "Platform operator", _PAGE
        ),
    )


def _of_answer(failure: SMTPResponseException, server: str) -> Refused:
    for_good = failure.code in _PERMANENT
    if for_good and isinstance(failure, SMTPAuthenticationError):
        return _operator(
            f"The mail server {server} does not accept our user name and password (code {failure.code}).",
            "Correct username and password (or password_file); mail then goes out by itself.",
        )
    if for_good and (isinstance(failure, SMTPSenderRefused) or failure.code == _AUTHENTICATION):
        return _operator(
            f"The mail server {server} does not let us send from our address (code {failure.code}).",
            "Allow the address set as from on the server, or log in there with username and password.",
        )
    if for_good and isinstance(failure, SMTPDataError):
        return Permanent(
            Refusal.MAIL_REJECTED,
            f"The mail server {server} refused this message for good (code {failure.code}).",
            remedy=Remedy("See the mail server's log for the reason.", "Platform operator", _PAGE),
        )
    return _later(f"The mail server {server} does not take the message just now (code {failure.code}).")


def _of_recipient(failure: SMTPRecipientRefused, server: str) -> Refused:
    policy = failure.message.lstrip().startswith("5.7.")
    if failure.code == _AUTHENTICATION or (failure.code in _PERMANENT and policy):
        # RFC 3463: x.7.y is a matter of rights. "Relaying denied" says nothing against the recipient.
        return _operator(
            f"The mail server {server} does not let us send to this recipient (code {failure.code}).",
            "Let the server take mail from us for any recipient: log in there, or allow our address.",
        )
    if failure.code in _PERMANENT:
        return Permanent(
            Refusal.MAIL_REJECTED,
            f"The mail server {server} refused the recipient for good (code {failure.code}).",
            remedy=Remedy(
                "Check the recipient's address; name another owner with openkcm tenants grant.",
                "Platform operator",
                _PAGE,
            ),
        )
    return _later(
        f"The mail server {server} does not take mail for this recipient just now (code {failure.code})."
    )


def _unsupported(server: str) -> Refused:
    return Permanent(
        Refusal.MAIL_REJECTED,
        f"The mail server {server} cannot send to addresses in other than Latin letters (SMTPUTF8).",
        remedy=Remedy(
            "Name the account's owner by another address, or switch SMTPUTF8 on at the server.",
            "Platform operator",
            _PAGE,
        ),
    )


def _certificate(failure: BaseException) -> str:
    """Why TLS failed, by its own verification or otherwise; empty where it was no matter of TLS."""
    seen: BaseException | None = failure
    while seen is not None:
        if isinstance(seen, ssl.SSLCertVerificationError):
            return "its certificate is not valid for this name and CA"
        if isinstance(seen, ssl.SSLError):
            return "no encrypted connection could be agreed on"
        seen = seen.__cause__ or seen.__context__
    return ""


def _later(message: str) -> Refused:
    return Temporary(
        Refusal.MAIL_NOT_ACCEPTED,
        message,
        remedy=Remedy("Nothing: the message is tried again by itself.", "Nobody", _PAGE),
    )


def _operator(message: str, action: str) -> Refused:
    return Temporary(Refusal.MAIL_NOT_ACCEPTED, message, remedy=Remedy(action, "Platform operator", _PAGE))
