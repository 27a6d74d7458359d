"""A head that comes again over the same connection: what it was read as once, it is read as again.

Applications send one head after the other in which nothing differs but the body's length. Bytes that are the same are
the same head to every reader, so neither the parser nor ``admit`` has to see them again; whether the token still holds
is asked each time all the same.
"""

from __future__ import annotations

from typing import Final

import msgspec

from openkcm.crypto.data.answer import Call
from openkcm.serving.bounds import MAX_HEAD_BYTES

_LENGTH: Final = b"content-length:"
_DIGITS: Final = 5  # of MAX_HEAD_BYTES


class Known(msgspec.Struct, frozen=True, gc=False):
    """A head, up to the digits of its length and from them on, and the call that it stands for.

    The request that taught it came in one piece, with nothing before and nothing after it.
    """

    call: Call
    head: bytes
    size: int
    before: bytes
    after: bytes

    def body_at(self, data: bytes) -> int:
        """Where the body begins, if ``data`` is exactly one request with this head; else 0."""
        if len(data) == self.size and data.startswith(self.head):
            return len(self.head)
        return self._other_length(data)

    def _other_length(self, data: bytes) -> int:
        at = len(self.before)
        end = data.find(b"\r", at, at + _DIGITS + 1)
        if end <= at or len(data) > MAX_HEAD_BYTES or not data.startswith(self.before):
            return 0
        digits = data[at:end]
        if not digits.isdigit() or not data.startswith(self.after, end):
            return 0
        length, body_at = int(digits), end + len(self.after)
        return body_at if body_at + length == len(data) and length <= self.call.route.max_body_bytes else 0


def known_head(data: bytes, call: Call) -> Known | None:
    """What the one request in ``data`` teaches, which was read as ``call``; nothing where more than it is there."""
    end = data.find(b"\r\n\r\n") + 2
    lines = data[:end].split(b"\r\n")
    lengths = [line for line in lines if line.lower().startswith(_LENGTH)]
    # Were a line's end a bare LF to the parser, the head would end elsewhere.
    if end < 2 or not data.startswith(b"POST ") or len(lengths) != 1 or b"\n" in b"".join(lines):
        return None
    digits = lengths[0][len(_LENGTH) :].lstrip(b" \t")
    if not digits.isdigit() or end + 2 + int(digits) != len(data):
        return None
    head, name = data[: end + 2], lengths[0].removesuffix(digits)
    before, _, after = head.partition(b"\r\n" + lengths[0] + b"\r\n")
    return Known(call, head, len(data), before + b"\r\n" + name, b"\r\n" + after)
