"""Answers of a host, looked at again before anybody believes them: a plugin's word is not enough."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from openkcm.crypto.hosts.failed import OURS, Own, Reason
from openkcm.crypto.hosts.wire import Blob, Hello, Root, SaidFinding
from openkcm.sdk.key_store import Described, Finding, Wrapped
from openkcm.sdk.plain_text import display_text, plain_text
from openkcm.sdk.refusals import Remedy

MAX_REFERENCE: Final = 1024
_MAX_SAID: Final = 500
_LEAST_SECRET: Final = 4
_CODE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_FIELD_WRONG: Final = Remedy("Correct this answer.", "whoever set up the connection")
REDACTED: Final = "[redacted]"


class Malformed(Exception):
    """The answer cannot be believed; nothing of it is kept."""


def documented(hello: Hello) -> dict[str, Reason]:
    """The plugin's documented answers by code, in words that can be shown; one that cannot be kept is left out."""
    return {
        said.code: Reason(
            code=said.code,
            outage=said.outage,
            says=_shown(said.says),
            remedy=Remedy(_shown(said.action), _shown(said.who), _shown(said.reference)),
        )
        for said in hello.answers
        if _CODE.fullmatch(said.code) and said.code not in set(Own)
    }


def wrapped(blob: Blob, key: bytes, hello: Hello) -> Wrapped:
    """The wrap, as its plugin may have made it. That it opens again is for the caller to see.

    Raises:
        Malformed: nothing in it, the very key in it, an undeclared wrapping, or a reference that cannot be shown.
    """
    if not blob.blob or key in blob.blob or blob.wrapping not in hello.wrappings:
        raise Malformed
    for words in (blob.reference, blob.version):
        _plain(words)
    return Wrapped(blob=blob.blob, wrapping=blob.wrapping, reference=blob.reference, version=blob.version)


def opened(key: bytes, believed: Callable[[bytes], bool]) -> bytes:
    """The key, where it is what the caller may believe.

    Raises:
        Malformed: it is not.
    """
    if not believed(key):
        raise Malformed
    return key


def same(one: bytes, other: bytes) -> bool:
    """Compared without telling by the time it takes where they differ."""
    return hmac.compare_digest(one, other)


def described(root: Root) -> Described:
    """The root key as the store describes it.

    Raises:
        Malformed: words that cannot be shown, or a time without zone.
    """
    for words in (root.reference, root.version, root.algorithm, root.origin):
        _plain(words)
    if root.created_at is not None and root.created_at.tzinfo is None:
        raise Malformed
    return Described(
        reference=root.reference,
        version=root.version,
        algorithm=root.algorithm,
        protection=root.protection,
        origin=root.origin,
        enabled=root.enabled,
        exportable=root.exportable,
        created_at=root.created_at,
    )


def findings(
    said: Sequence[SaidFinding], known: Mapping[str, Reason], *, secrets: Iterable[str]
) -> tuple[Finding, ...]:
    """Findings in words that can be shown, without any of ``secrets``; remedies are the declaration's.

    Raises:
        Malformed: a code or a field's name of another form.
    """
    hidden = sorted((each for each in secrets if len(each) >= _LEAST_SECRET), key=len, reverse=True)
    return tuple(_finding(each, known, hidden) for each in said)


def _finding(said: SaidFinding, known: Mapping[str, Reason], hidden: Sequence[str]) -> Finding:
    if not _CODE.fullmatch(said.code) or (said.field and not _CODE.fullmatch(said.field)):
        raise Malformed
    remedy = known[said.code].remedy if said.code in known else None
    return Finding(
        level=said.level,
        code=said.code,
        said=_shown(_without(said.said, hidden)),
        field=said.field,
        permission=_shown(_without(said.permission, hidden)),
        remedy=remedy or (_FIELD_WRONG if said.field and said.level == "bad" else None),
    )


def reason_of(code: str, known: Mapping[str, Reason]) -> Reason:
    """What a code stands for: the declaration's answer, or ``undocumented``."""
    return known.get(code) or OURS[Own.UNDOCUMENTED]


def _plain(words: str) -> None:
    if not plain_text(words, max_characters=MAX_REFERENCE):
        raise Malformed


def _without(words: str, hidden: Sequence[str]) -> str:
    for secret in hidden:
        words = words.replace(secret, REDACTED)
    return words


def _shown(words: str) -> str:
    return display_text(words, max_characters=_MAX_SAID)
