"""Why the message format says no. Nothing here ever names a key, a plaintext or the byte that was wrong."""

from __future__ import annotations


class FormatError(Exception):
    """What every refusal of this package derives from."""


class BadCiphertext(FormatError):
    """The bytes do not open with this key, tenant, service and associated data.

    One error and one text for every cause (changed, cut short, another tenant's, another key, another AAD), so
    that nobody learns which part was right.
    """

    def __init__(self) -> None:
        super().__init__("the ciphertext does not open with this key, tenant, service and associated data")


class UnsupportedFormat(FormatError):
    """The bytes do not begin with a magic, format and suite that this version reads."""


class BadName(FormatError):
    """A tenant or service name does not have the form ``[a-z0-9][a-z0-9-]{0,62}``."""


class DecryptOnly(FormatError):
    """A data key that was unwrapped was asked to encrypt; only the one that was generated here may."""

    def __init__(self) -> None:
        super().__init__("this data key was unwrapped and only decrypts; generate one to encrypt")


class DataKeyUsedUp(FormatError):
    """A data key has encrypted as many messages as it may; generate another."""

    def __init__(self) -> None:
        super().__init__("this data key has encrypted as many messages as it may; generate another")


class MessageTooLong(FormatError):
    """A plaintext or associated data is longer than a whole message may be."""
