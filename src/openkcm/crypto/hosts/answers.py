"""Answers of a host, looked at again before anybody believes them: a plugin's word is not enough."""

from __future__ import annotations

import hmac
import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final
from urllib.parse import quote, quote_plus

from openkcm.crypto.hosts.failed import OURS, Own, Reason
from openkcm.crypto.hosts.wire import Blob, Hello, Root, SaidFinding
from openkcm.sdk.key_store import Ability, Described, Finding, Wrapped
from openkcm.sdk.plain_text import display_text, plain_text
from openkcm.sdk.refusals import Remedy

MAX_REFERENCE: Final = 1024
_MAX_SAID: Final = 500
_LEAST_SECRET: Final = 4
_LEAST_REFUSED: Final = 12
"""A shorter secret may be a part of a good reference by chance, as a PIN is."""
_CODE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_FIELD_WRONG: Final = Remedy("Correct this answer.", "whoever set up the connection")
_OWNER: Final = "the key's owner"
_OF_ABILITY: Final = {
    Ability.OWNERSHIP.value: Remedy(
        "Name this account's subject in the condition, grant or tag that lets OpenKCM use the key.",
        _OWNER,
        "operate/keys#own-root-key",
    ),
    Ability.OUTSIDE.value: Remedy(
        "Use a key that the store lets nobody take out.", _OWNER, "operate/keys#own-root-key"
    ),
}
"""What mends a finding about an ability: its code is the ability's name, so the declaration has no answer for it."""
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


def wrapped(blob: Blob, key: bytes, hello: Hello, *, secrets: Iterable[str]) -> Wrapped:
    """The wrap, as its plugin may have made it. That it opens again is for the caller to see.

    Raises:
        Malformed: nothing in it, the very key in it, an undeclared wrapping, or a reference that cannot be shown or
            holds one of ``secrets``.
    """
    if not blob.blob or key in blob.blob or blob.wrapping not in hello.wrappings:
        raise Malformed
    hidden = _forms(secrets, least=_LEAST_REFUSED)
    for words in (blob.reference, blob.version):
        _plain(words, hidden)
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


def described(root: Root, *, secrets: Iterable[str]) -> Described:
    """The root key as the store describes it.

    Raises:
        Malformed: words that cannot be shown or hold one of ``secrets``, or a time without zone.
    """
    hidden = _forms(secrets, least=_LEAST_REFUSED)
    for words in (root.reference, root.version, root.algorithm, root.origin):
        _plain(words, hidden)
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
        Malformed: a code or a field's name of another form, or with one of ``secrets`` in it.
    """
    secrets = tuple(secrets)
    hidden, refused = _forms(secrets), _forms(secrets, least=_LEAST_REFUSED)
    return tuple(_finding(each, known, hidden, refused) for each in said)


def _finding(
    said: SaidFinding, known: Mapping[str, Reason], hidden: Sequence[str], refused: Sequence[str]
) -> Finding:
    for name in (said.code, *((said.field,) if said.field else ())):
        if not _CODE.fullmatch(name) or any(secret in name for secret in refused):
            raise Malformed
    remedy = known[said.code].remedy if said.code in known else None
    if remedy is None and said.level == "bad":
        remedy = _FIELD_WRONG if said.field else _OF_ABILITY.get(said.code)
    return Finding(
        level=said.level,
        code=said.code,
        said=_shown(_without(said.said, hidden)),
        field=said.field,
        permission=_shown(_without(said.permission, hidden)),
        remedy=remedy,
    )


def reason_of(code: str, known: Mapping[str, Reason]) -> Reason:
    """What a code stands for: the declaration's answer, or ``undocumented``."""
    return known.get(code) or OURS[Own.UNDOCUMENTED]


def _plain(words: str, refused: Sequence[str]) -> None:
    if not plain_text(words, max_characters=MAX_REFERENCE) or any(secret in words for secret in refused):
        raise Malformed


def _forms(secrets: Iterable[str], *, least: int = _LEAST_SECRET) -> Sequence[str]:
    """The secrets, the longest first, as libraries write them by accident: whole, a line of them, escaped, encoded.

    Who means to tell a secret finds another way: it is the plugin's own store's.
    """
    found: set[str] = set()
    for secret in secrets:
        found |= {secret, *(line for line in secret.splitlines() if len(line) >= _LEAST_REFUSED)}
        found |= {json.dumps(secret)[1:-1], repr(secret)[1:-1], quote(secret, safe=""), quote_plus(secret)}
        found.add(b64encode(secret.encode("utf-8", "surrogatepass")).decode())
    return sorted((each for each in found if len(each) >= least), key=len, reverse=True)


def _without(words: str, hidden: Sequence[str]) -> str:
    for secret in hidden:
        words = words.replace(secret, REDACTED)
    return words


def _shown(words: str) -> str:
    return display_text(words, max_characters=_MAX_SAID)
