"""Which tenant a manifest speaks of: one pure rule for the five kinds that name tenants.

=================  ==============================================  ==========================================
kind               the tenant's id                                  parent and name
=================  ==============================================  ==========================================
``Account``        ``metadata.uid``; none: the core makes one       ``kcp.io/cluster`` (its parent's) · own name
``AccountInfo``    ``spec.account.generatedClusterId``              ``spec.account.originClusterId`` · ``.name``
``APIBinding``     annotation ``kcp.io/cluster``                    the id itself · own name
``LogicalCluster`` annotation ``kcp.io/cluster``                    the id itself · own name
``Tenant``         annotation ``kcp.io/cluster``                    the id itself · own name
=================  ==============================================  ==========================================

A name or a path never is an identity: names repeat between organisations, and a path can be made again with another
logical cluster behind it. An Account lives in its *parent's* workspace, so that its own ``kcp.io/cluster`` is the
parent's id: all accounts of one organisation carry the same one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from openkcm.sdk.plain_text import MAX_NAME_CHARACTERS, plain_text
from openkcm.sdk.refusals import Permanent, Refusal, Remedy
from openkcm.sdk.tenant_id import checked_tenant_id
from openkcm.sdk.tenant_source import Creator

CLUSTER = "kcp.io/cluster"
PATH = "kcp.io/path"

GROUPS: Mapping[str, str] = {
    "Account": "core.platform-mesh.io",
    "AccountInfo": "core.platform-mesh.io",
    "APIBinding": "apis.kcp.io",
    "LogicalCluster": "core.kcp.io",
    "Tenant": "operations.openkcm.io",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Which tenant it is; ``tenant_id`` None means that the core keeps one by (kind, parent, name)."""

    tenant_id: str | None
    kind: str
    parent: str
    name: str
    path: str = ""


def identify(manifest: Mapping[str, object]) -> Identity:
    """The identity of the tenant that a parsed manifest speaks of.

    Raises:
        Permanent: ``KIND_UNKNOWN`` for any other kind or group, ``MANIFEST_INVALID`` where a needed value is missing or
            no text, ``TENANT_ID_INVALID`` where the id has another form than the product's.
    """
    kind = kind_of(manifest)
    metadata = _mapping(manifest, "metadata")
    name = _text(metadata, "metadata", "name")
    annotations = _mapping(metadata, "annotations", within="metadata", needed=False)
    path = _text(annotations, "metadata.annotations", PATH, needed=False, max_characters=1024)
    cluster = _text(
        annotations, "metadata.annotations", CLUSTER, needed=kind not in ("Account", "AccountInfo")
    )
    if kind == "Account":
        uid = _text(metadata, "metadata", "uid", needed=False)
        return Identity(
            tenant_id=checked_tenant_id(uid) if uid else None,
            kind=kind,
            parent=cluster,
            name=name,
            path=f"{path}:{name}" if path else "",
        )
    if kind == "AccountInfo":
        account = _mapping(_mapping(manifest, "spec"), "account", within="spec")
        return Identity(
            tenant_id=checked_tenant_id(_text(account, "spec.account", "generatedClusterId")),
            kind=kind,
            parent=_text(account, "spec.account", "originClusterId", needed=False),
            name=_text(account, "spec.account", "name"),
            path=_text(account, "spec.account", "path", needed=False, max_characters=1024),
        )
    return Identity(tenant_id=checked_tenant_id(cluster), kind=kind, parent=cluster, name=name, path=path)


def kind_of(manifest: Mapping[str, object]) -> str:
    """The kind, which is one of the five and of the group that the kind belongs to, in whatever version.

    Raises:
        Permanent: ``MANIFEST_INVALID`` without kind or apiVersion, ``KIND_UNKNOWN`` for others.
    """
    kind = _text(manifest, "", "kind")
    version = _text(manifest, "", "apiVersion")
    group = version.rpartition("/")[0]
    if GROUPS.get(kind) == group:
        return kind
    called = f"{kind} of {version}"
    raise Permanent(
        Refusal.KIND_UNKNOWN,
        f"{called} names no tenant.",
        remedy=Remedy(
            "Use one of " + ", ".join(f"{known} of {of}" for known, of in GROUPS.items()) + ".",
            "Platform operator",
            "reference/tenant-sources#kinds",
        ),
    )


def creator_of(manifest: Mapping[str, object], *, issuer: str) -> Creator | None:
    """Who made the account, by a document that no tenant can write; None where nobody is named.

    Only for documents that are the operator's own (a directory source's files): ``spec.creator`` of an Account or
    AccountInfo. The issuer is ``spec.oidc.issuerUrl`` where the document has one, else ``issuer``; an empty issuer
    means that no single sign-on ever matches.

    Raises:
        Permanent: ``MANIFEST_INVALID`` where one of the two is there and no text.
    """
    spec = _mapping(manifest, "spec", needed=False)
    if manifest.get("kind") not in ("Account", "AccountInfo"):
        return None
    username = _text(spec, "spec", "creator", needed=False, max_characters=320)
    oidc = _mapping(spec, "oidc", within="spec", needed=False)
    own_issuer = _text(oidc, "spec.oidc", "issuerUrl", needed=False, max_characters=2048)
    return Creator(own_issuer or issuer, username) if username else None


def _invalid(message: str) -> Permanent:
    return Permanent(
        Refusal.MANIFEST_INVALID,
        message,
        remedy=Remedy(
            "Correct the manifest; it is read again by itself.",
            "Platform operator",
            "reference/tenant-sources#kinds",
        ),
    )


def _place(within: str, key: str) -> str:
    return f"{within}.{key}" if within else key


def _mapping(
    of: Mapping[str, object], key: str, *, within: str = "", needed: bool = True
) -> Mapping[str, object]:
    value = of.get(key)
    if value is None and not needed:
        return {}
    if not isinstance(value, Mapping):
        raise _invalid(f"{_place(within, key)} is missing or is not a mapping.")
    return value


def _text(
    of: Mapping[str, object],
    within: str,
    key: str,
    *,
    needed: bool = True,
    max_characters: int = MAX_NAME_CHARACTERS,
) -> str:
    value = of.get(key)
    if value is None or value == "":
        if needed:
            raise _invalid(f"{_place(within, key)} is missing.")
        return ""
    if not isinstance(value, str):
        raise _invalid(f"{_place(within, key)} is not text; put it in quotes.")
    if not plain_text(value, max_characters=max_characters):
        raise _invalid(
            f"{_place(within, key)} has control characters, marks that turn the reading direction, "
            f"or more than {max_characters} characters."
        )
    return value
