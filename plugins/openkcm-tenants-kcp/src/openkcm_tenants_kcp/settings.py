"""What an operator may set for kcp, checked once at start."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from openkcm.sdk.plain_text import plain_text
from openkcm.sdk.refusals import Permanent, Refusal, Remedy

_TEXTS = ("kubeconfig", "context", "writer_kubeconfig", "writer_context", "export", "issuer", "skip_clusters")
DEFAULT_EXPORT = "operations.openkcm.io"
_NUMBERS = {
    "watch_s": (60.0, 5.0, 80.0),
    "resync_s": (600.0, 10.0, 86_400.0),
    "confirm_s": (30.0, 1.0, 3600.0),
    "all_gone_confirm_s": (900.0, 1.0, 86_400.0),
    "answer_s": (30.0, 1.0, 300.0),
    "page_size": (250, 1, 1000),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class KcpSettings:
    """``kubeconfig`` reads, ``writer_kubeconfig`` writes our own resource (the same one where it is not set).

    ``export`` is the APIExport's name; ``issuer`` knows the creators of accounts whose organisation names none itself.
    ``watch_s``: how long one watch lasts (its connection is given up 15 s later); ``resync_s``: everything is listed
    again; ``confirm_s``: how long a tenant must be missing everywhere before it counts as uninstalled, and
    ``all_gone_confirm_s`` the same while most of all are missing at once; ``answer_s`` for any other answer;
    ``page_size`` objects a page. ``skip_clusters``: logical clusters that have a binding and are no tenants, such as
    the one that the organisations are in.
    """

    kubeconfig: Path
    context: str = ""
    writer_kubeconfig: Path | None = None
    writer_context: str = ""
    export: str = DEFAULT_EXPORT
    issuer: str = ""
    watch_s: float = 60.0
    resync_s: float = 600.0
    confirm_s: float = 30.0
    all_gone_confirm_s: float = 900.0
    answer_s: float = 30.0
    page_size: int = 250
    skip_clusters: frozenset[str] = frozenset()


def kcp_settings(given: Mapping[str, str]) -> KcpSettings | None:
    """The checked settings; None where no ``kubeconfig`` is set, which means that kcp is not used.

    Raises:
        Permanent: ``SETTING_INVALID``, naming the setting and what it may be.
    """
    known = sorted({*_TEXTS, *_NUMBERS})
    if unknown := sorted(set(given) - set(known)):
        raise invalid(unknown[0], f"is not known; known are {', '.join(known)}")
    text = {name: given.get(name, "").strip() for name in _TEXTS}
    if not text["kubeconfig"]:
        return None
    for name in ("kubeconfig", "writer_kubeconfig"):
        if text[name] and not Path(text[name]).is_absolute():
            raise invalid(name, "must be an absolute path, so that every process means the same file")
    for name in ("context", "writer_context", "export"):
        if not plain_text(text[name], max_characters=253) or (name == "export" and "/" in text[name]):
            raise invalid(name, "must be a name")
    if text["issuer"] and not (
        text["issuer"].startswith("https://") and plain_text(text["issuer"], max_characters=2048)
    ):
        raise invalid("issuer", "must be the address of an OpenID Connect issuer, with https://")
    number = {name: _number(given, name, *limits) for name, limits in _NUMBERS.items()}
    return KcpSettings(
        kubeconfig=Path(text["kubeconfig"]),
        context=text["context"],
        writer_kubeconfig=Path(text["writer_kubeconfig"]) if text["writer_kubeconfig"] else None,
        writer_context=text["writer_context"],
        export=text["export"] or DEFAULT_EXPORT,
        issuer=text["issuer"],
        watch_s=number["watch_s"],
        resync_s=number["resync_s"],
        confirm_s=number["confirm_s"],
        all_gone_confirm_s=number["all_gone_confirm_s"],
        answer_s=number["answer_s"],
        page_size=int(number["page_size"]),
        skip_clusters=frozenset(text["skip_clusters"].replace(",", " ").split()),
    )


def _number(given: Mapping[str, str], name: str, usual: float, least: float, most: float) -> float:
    if name not in given:
        return usual
    try:
        number = float(given[name])
    except ValueError:
        number = math.nan
    if not least <= number <= most:
        raise invalid(name, f"must be a number from {least:g} to {most:g}")
    return number


def invalid(name: str, why: str) -> Permanent:
    """The refusal of one setting."""
    return Permanent(
        Refusal.SETTING_INVALID,
        f"The setting {name} of the plugin tenants-kcp {why}.",
        remedy=Remedy("Correct the setting and start again.", "Platform operator", "plugins/tenants-kcp"),
    )
