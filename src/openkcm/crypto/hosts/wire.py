"""What a crypto process and a key-store host say to each other: length-prefixed MessagePack over one unix socket.

A frame is four bytes of length, big-endian, and one message. The host's side is not trusted: every string and list is
bounded, an unknown field is refused. Secrets travel here only, never in arguments, environment or files.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from openkcm.crypto.hosts.confine import Confined, Wanted
from openkcm.sdk.key_store import (
    MAX_BLOB_BYTES,
    MAX_FINDINGS,
    MAX_KEY_BYTES,
    Connection,
    Context,
    Outage,
    Wrapped,
    Wrapping,
)

MAX_TO_HOST: Final = 2**20
MAX_FROM_HOST: Final = 2**18
MAX_WORDS: Final = 2000
LENGTH_BYTES: Final = 4

Verb = Literal["describe", "wrap", "unwrap", "probe", "check", "trust"]
Code = Annotated[str, Meta(max_length=64)]
Words = Annotated[str, Meta(max_length=MAX_WORDS)]
Name = Annotated[str, Meta(max_length=1024)]
Number = Annotated[int, Meta(ge=1, le=2**53)]


class _Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    pass


class Start(_Message, frozen=True, kw_only=True):
    """The first message: which plugin, its operator's settings, and how to be confined."""

    plugin: str
    module: str
    paths: list[str]
    settings: dict[str, str]
    wanted: Wanted


class Connect(_Message, frozen=True, kw_only=True):
    """From now on ``session`` means this connection; it is opened at its first call."""

    session: Number
    connection: Connection


class Forget(_Message, frozen=True, kw_only=True):
    """The session is closed when its last call is answered."""

    session: Number


class Call(_Message, frozen=True, kw_only=True):
    """One call. After ``within_s`` the host gives up by itself; the crypto process does not rely on it."""

    id: Number
    session: Number
    verb: Verb
    within_s: float
    key: bytes = b""
    wrapped: Wrapped | None = None
    context: Context | None = None
    set_up: dict[str, str] = {}


class SaidAnswer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A documented answer, as the plugin's declaration has it."""

    code: Code
    outage: Outage
    says: Words
    action: Words
    who: Words
    reference: Words = ""


class SaidFinding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A finding, without remedy: that is the declaration's."""

    level: Literal["ok", "warn", "bad"]
    code: Code
    said: Words
    field: Code = ""
    permission: Words = ""


class Hello(_Message, frozen=True, kw_only=True):
    """The plugin is loaded: what the guard needs of its declaration, and how the host is confined."""

    confined: Confined
    name: Code
    answers: Annotated[list[SaidAnswer], Meta(max_length=100)]
    wrappings: Annotated[list[Wrapping], Meta(max_length=8)]
    call_s: Annotated[float, Meta(gt=0, le=30)]
    apart: bool


class NotLoaded(_Message, frozen=True, kw_only=True):
    """The plugin cannot be used; nothing of what it said is passed on."""

    confined: Confined


class Nothing(_Message, frozen=True, kw_only=True):
    """Done, and there is nothing to say."""

    id: Number


class Key(_Message, frozen=True, kw_only=True):
    id: Number
    key: Annotated[bytes, Meta(max_length=MAX_KEY_BYTES)]


class Blob(_Message, frozen=True, kw_only=True):
    id: Number
    blob: Annotated[bytes, Meta(max_length=MAX_BLOB_BYTES)]
    wrapping: Wrapping
    reference: Name
    version: Name


class Root(_Message, frozen=True, kw_only=True):
    id: Number
    reference: Name
    version: Name
    algorithm: Name
    protection: Literal["", "software", "hsm"]
    origin: Name
    enabled: bool
    exportable: bool | None
    created_at: datetime | None


class Found(_Message, frozen=True, kw_only=True):
    id: Number
    findings: Annotated[list[SaidFinding], Meta(max_length=MAX_FINDINGS)]


class Said(_Message, frozen=True, kw_only=True):
    """The plugin raised ``Answered``; an empty code stands for any other exception."""

    id: Number
    code: Code
    retry_after_s: Annotated[float, Meta(ge=0, le=86_400)] | None = None


class Late(_Message, frozen=True, kw_only=True):
    """The call was given up in the host, after ``within_s``."""

    id: Number


class Wrong(_Message, frozen=True, kw_only=True):
    """What the plugin returned is not what its contract says."""

    id: Number


ToHost: TypeAlias = Connect | Forget | Call
Answer: TypeAlias = Nothing | Key | Blob | Root | Found | Said | Late | Wrong
FromHost: TypeAlias = Hello | NotLoaded | Answer

_ENCODER: Final = msgspec.msgpack.Encoder()
read_start: Final = msgspec.msgpack.Decoder(Start).decode
read_to_host: Final = msgspec.msgpack.Decoder(ToHost).decode
read_from_host: Final = msgspec.msgpack.Decoder(FromHost).decode


class FrameTooLong(ValueError):
    """One message is longer than its direction allows."""

    def __init__(self) -> None:
        super().__init__("the message is longer than may be sent")


def frame(message: msgspec.Struct, *, limit: int) -> bytes:
    """The message as it goes over the socket.

    Raises:
        FrameTooLong: it has more than ``limit`` bytes.
    """
    packed = _ENCODER.encode(message)
    if len(packed) > limit:
        raise FrameTooLong
    return len(packed).to_bytes(LENGTH_BYTES, "big") + packed
