"""Why the message format says no. Nothing here ever names a key, a plaintext or the byte that was wrong."""

from __future__ import annotations


class Error(Exception):
    """What everything that this package raises by itself derives from."""


class FormatError(Error):
    """What every refusal of the message format derives from."""


class BadCiphertext(FormatError):
    """The bytes do not open with this key, tenant, service and associated data.

    One error and one text for every cause (changed, cut short, reordered, another tenant's, another key, another
    AAD, another format), so that nobody learns which part was right.
    """

    def __str__(self) -> str:
        return "the ciphertext does not open with this key, tenant, service and associated data"


class UnsupportedFormat(BadCiphertext):
    """The bytes do not begin with a magic, format and suite that are read here.

    The text is the same. What was found stands in a note (``__notes__``), which a traceback shows: the first eight
    bytes of a message are no secret, and whoever fed in something else wants to know.
    """

    def __init__(self, found: str) -> None:
        super().__init__(found)
        self.add_note(found)


class BadName(FormatError):
    """A tenant or service name does not have the form ``[a-z0-9][a-z0-9-]{0,62}``."""


class DecryptOnly(FormatError):
    """A data key that was unwrapped was asked to encrypt; only the one that was generated here may."""

    def __str__(self) -> str:
        return "this data key was unwrapped and only decrypts; generate one to encrypt"


class DataKeyUsedUp(FormatError):
    """A data key has encrypted as many messages or streams as it may; generate another."""

    def __str__(self) -> str:
        return "this data key has encrypted as much as it may; generate another"


class MessageTooLong(FormatError):
    """A plaintext or associated data is longer than a message or stream may have it."""
