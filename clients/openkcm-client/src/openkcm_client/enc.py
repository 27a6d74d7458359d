"""``enc``: how OpenKCM turns a list of values into the bytes that are authenticated, derived from or signed.

The form is fixed for ever (``docs/reference/message-format.md``): each item is its length, 4 bytes big-endian,
then its bytes. ``bytes`` stand as they are, ``str`` is UTF-8, ``int`` is 8 bytes big-endian, unsigned.
Two lists of byte strings have the same encoding only if they are the same list. The type of an item is *not*
encoded: each place that uses ``enc`` fixes the number of its items or the type at each position, and starts with a
label or a number of its own.
"""

from __future__ import annotations

from struct import Struct

_LENGTH = Struct(">I").pack
_INT = Struct(">IQ").pack
_MAX_INT = 2**64 - 1


def enc(*items: bytes | str | int) -> bytes:
    """Each item with its length before it, one after the other; ``enc(a) + enc(b) == enc(a, b)``.

    Raises:
        TypeError: an item is neither bytes, str nor int (a bool is refused: it would look like a number).
        ValueError: an int is negative or needs more than 64 bits, an item has 2^32 bytes or more, or a str holds
            a lone surrogate.
    """
    parts: list[bytes] = []
    for item in items:
        if isinstance(item, bytes):
            parts += (_prefix(item), item)
        elif isinstance(item, str):
            raw = item.encode()
            parts += (_prefix(raw), raw)
        elif isinstance(item, int) and not isinstance(item, bool):
            if not 0 <= item <= _MAX_INT:
                raise ValueError("enc takes integers from 0 to 2^64-1")
            parts.append(_INT(8, item))
        else:
            raise TypeError(f"enc takes bytes, str and int, not {type(item).__name__}")
    return b"".join(parts)


def _prefix(raw: bytes) -> bytes:
    if len(raw) > 0xFFFFFFFF:
        raise ValueError("enc takes items of less than 2^32 bytes")
    return _LENGTH(len(raw))
