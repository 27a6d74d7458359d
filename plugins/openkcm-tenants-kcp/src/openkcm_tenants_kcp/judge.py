"""What a sight of a logical cluster means. Pure: no member of an account can say more by it than an uninstall."""

from __future__ import annotations

from enum import Enum

from openkcm.sdk.plain_text import display_text, plain_text
from openkcm.sdk.tenant_source import Creator, Known, Observation, Presence
from openkcm_tenants_kcp.mirror import Mirror, Sight

KIND = "APIBinding"


class Judgement(Enum):
    """What is to be said of a cluster."""

    NOT_YET = "its binding is not ready"
    PRESENT = "its binding is bound and ready"
    LEAVING = "its binding is on its way out"
    DELETING = "its logical cluster is on its way out"
    MISSING = "no endpoint shows a binding of it"


def judge(sight: Sight) -> Judgement:
    """Deletion is what the *LogicalCluster* says of itself, and nothing else."""
    if sight.logical is not None and sight.logical.metadata.deletion_timestamp is not None:
        return Judgement.DELETING
    if any(each.ready for each in sight.bindings):
        return Judgement.PRESENT
    if any(each.metadata.deletion_timestamp is not None for each in sight.bindings):
        return Judgement.LEAVING
    return Judgement.NOT_YET if sight.bindings else Judgement.MISSING


def present(sight: Sight, mirror: Mirror, *, issuer: str) -> Observation:
    """The tenant as it is told while it is there."""
    binding = sight.binding
    path = _path(sight)
    creator, display_name = creator_of(sight, mirror, issuer=issuer)
    return Observation(
        tenant_id=sight.cluster,
        kind=KIND,
        parent=sight.cluster,
        name=binding.metadata.name if binding is not None else sight.cluster,
        presence=Presence.PRESENT,
        display_name=display_name or display_text(path.rpartition(":")[2] or sight.cluster),
        origin=f"{path or sight.cluster} in kcp",
        reference=sight.cluster,
        path=path,
        creator=creator,
    )


def ended(known: Known, presence: Presence, sight: Sight) -> Observation:
    """The tenant as it is told when it is not there any more, or about to go."""
    logical = sight.logical
    path = _path(sight)
    return Observation(
        tenant_id=known.tenant_id,
        kind=known.kind,
        parent=known.parent,
        name=known.name,
        presence=presence,
        display_name=display_text(path.rpartition(":")[2] or known.name),
        origin=f"{path or known.tenant_id} in kcp",
        reference=known.reference,
        path=path,
        deleted_at=logical.metadata.deletion_timestamp if logical and presence is Presence.DELETING else None,
    )


def known_of(told: Observation) -> Known:
    """What the core has of the tenant, once it has stored what was told."""
    return Known(
        tenant_id=told.tenant_id,
        kind=told.kind,
        parent=told.parent,
        name=told.name,
        presence=told.presence,
        reference=told.reference,
    )


def creator_of(sight: Sight, mirror: Mirror, *, issuer: str) -> tuple[Creator | None, str]:
    """Who made the account and what it is called, where the parent's workspace proves it; else (None, "").

    Where the account comes from is what kcp says of the logical cluster, or without that what the account's own
    AccountInfo claims. Either is believed only if the Workspace of that name *there* is this very cluster: then the
    Account beside it is this one's, and who may write it has rights above the tenant. The issuer is what the parent's
    AccountInfo says, for the same reason; ``issuer`` where it says none. Where kcp says the paths of both, the one must
    be right below the other: a binding's path is written by kcp alone, a LogicalCluster's owner by an admin within.
    """
    origin = _origin(sight)
    if origin is None:
        return None, ""
    parent, name = origin
    account, workspace = mirror.account(parent, name), mirror.workspace(parent, name)
    if account is None or workspace is None or workspace.cluster != sight.cluster:
        return None, ""
    if not _below(sight, mirror.sight(parent), name):
        return None, ""
    display_name = display_text(account.spec.display_name)
    above = mirror.sight(parent).info
    creator = Creator(
        (above.spec.oidc.issuer_url if above is not None else "") or issuer, account.spec.creator
    )
    usable = (
        creator.username
        and plain_text(creator.username, max_characters=320)
        and plain_text(creator.issuer, max_characters=2048)
    )
    return (creator if usable else None), display_name


def _origin(sight: Sight) -> tuple[str, str] | None:
    owner = sight.logical.spec.owner if sight.logical is not None else None
    if owner is not None and owner.resource == "workspaces" and owner.cluster and owner.name:
        return owner.cluster, owner.name
    claimed = sight.info.spec.account if sight.info is not None else None
    return (claimed.origin_cluster_id, claimed.name) if claimed is not None and claimed.name else None


def _below(sight: Sight, above: Sight, name: str) -> bool:
    """Whether nothing that kcp says of their paths speaks against ``sight`` being ``name`` in ``above``."""
    path, parent = (
        each.binding.metadata.annotations.path if each.binding is not None else "" for each in (sight, above)
    )
    return not path or not parent or path == f"{parent}:{name}"


def _path(sight: Sight) -> str:
    """The workspace's path where kcp says one that can be stored; it is a name for people, never an identity."""
    for told in (sight.binding, sight.logical):
        path = told.metadata.annotations.path if told is not None else ""
        if path and plain_text(path, max_characters=1024):
            return path
    return ""
