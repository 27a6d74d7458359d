"""What is seen of a workspace, and what it means: no member of an account can say more by it than an uninstall."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from openkcm.sdk.tenant_source import Creator, Presence
from openkcm_tenants_kcp.judge import Judgement, ended, judge, known_of, present
from openkcm_tenants_kcp.keeper import Chore, chore
from openkcm_tenants_kcp.mirror import Mirror, Sight
from openkcm_tenants_kcp.wire import (
    FINALIZER,
    Account,
    AccountInfo,
    Binding,
    LogicalCluster,
    TenantResource,
    Workspace,
)

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
CLUSTER, ORG, OTHER = "2hy7gk1p3c0zq9xv", "3hmrl2jx7q1vzc8k", "4evil0000000000x"
READY = {"phase": "Bound", "conditions": [{"type": "Ready", "status": "True"}]}
READ_ONLY_URL = "https://shard/services/apiexport/p/e"


def metadata(
    cluster: str = CLUSTER,
    name: str = "openkcm",
    *,
    going: bool = False,
    **more: Any,  # noqa: ANN401 - as kcp has them
) -> dict[str, Any]:
    made: dict[str, Any] = {
        "name": name,
        "resourceVersion": "7",
        "annotations": {"kcp.io/cluster": cluster},
        **more,
    }
    return made | ({"deletionTimestamp": "2026-11-27T12:00:00Z"} if going else {})


def binding(status: dict[str, Any] | None = None, *, going: bool = False) -> Binding:
    found = metadata(going=going)
    found["annotations"]["kcp.io/path"] = "root:orgs:acme:payments"
    return msgspec.convert({"metadata": found, "status": READY if status is None else status}, Binding)


def logical(*, going: bool = False, owner: tuple[str, str] | None = (ORG, "payments")) -> LogicalCluster:
    spec = {"owner": {"cluster": owner[0], "name": owner[1], "resource": "workspaces"}} if owner else {}
    return msgspec.convert({"metadata": metadata(name="cluster", going=going), "spec": spec}, LogicalCluster)


def resource(*, going: bool = False, held: bool = True) -> TenantResource:
    found = metadata(name="tenant", going=going, finalizers=[FINALIZER] if held else [])
    return msgspec.convert({"metadata": found}, TenantResource)


def sight(*bindings: Binding, **more: Any) -> Sight:  # noqa: ANN401 - as Sight has them
    return Sight(CLUSTER, READ_ONLY_URL, bindings, **more)


@pytest.mark.parametrize(
    ("seen", "meant"),
    [
        (sight(), Judgement.MISSING),
        (sight(binding({})), Judgement.NOT_YET),
        (sight(binding({"phase": "Binding"})), Judgement.NOT_YET),
        (sight(binding({"phase": "Bound"})), Judgement.NOT_YET),
        (
            sight(binding({"phase": "Bound", "conditions": [{"type": "Ready", "status": "False"}]})),
            Judgement.NOT_YET,
        ),
        (sight(binding()), Judgement.PRESENT),
        (sight(binding(), logical=logical()), Judgement.PRESENT),
        (sight(binding(), resource=resource(going=True)), Judgement.PRESENT),
        (sight(binding(going=True)), Judgement.LEAVING),
        (sight(binding(going=True), logical=logical()), Judgement.LEAVING),
        (sight(binding(going=True), binding()), Judgement.PRESENT),
        (sight(binding(), logical=logical(going=True)), Judgement.DELETING),
        (sight(logical=logical(going=True)), Judgement.DELETING),
    ],
)
def test_deletion_is_what_the_logical_cluster_says_and_nothing_else(seen: Sight, meant: Judgement) -> None:
    assert judge(seen) is meant


def mirror_with(*, cluster: str = CLUSTER, creator: str = "jane@acme.example", issuer: str = "") -> Mirror:
    mirror = Mirror()
    org = mirror.endpoint(READ_ONLY_URL)
    account = {
        "metadata": metadata(ORG, "payments"),
        "spec": {"creator": creator, "displayName": "Pay<b>ments"},
    }
    org.accounts.put(msgspec.convert(account, Account))
    workspace = {"metadata": metadata(ORG, "payments"), "spec": {"cluster": cluster}}
    org.workspaces.put(msgspec.convert(workspace, Workspace))
    org.infos.put(info(ORG, issuer=issuer))
    return mirror


def info(
    cluster: str = CLUSTER, *, origin: str = ORG, name: str = "payments", issuer: str = ""
) -> AccountInfo:
    spec = {"account": {"name": name, "originClusterId": origin}, "oidc": {"issuerUrl": issuer}}
    return msgspec.convert({"metadata": metadata(cluster, "account"), "spec": spec}, AccountInfo)


def told(seen: Sight, mirror: Mirror, issuer: str = "https://idp.example") -> tuple[Creator | None, str]:
    found = present(seen, mirror, issuer=issuer)
    return found.creator, found.display_name


def test_the_creator_is_the_accounts_beside_the_workspace_that_is_this_cluster() -> None:
    creator = Creator("https://idp.example", "jane@acme.example")
    assert told(sight(binding(), logical=logical()), mirror_with()) == (creator, "Pay<b>ments")
    assert told(sight(binding(), info=info()), mirror_with()) == (creator, "Pay<b>ments")


def test_the_issuer_is_the_parents_never_the_accounts_own() -> None:
    mirror = mirror_with(issuer="https://idp.example/realms/acme")
    forged = info(issuer="https://evil.example")
    creator, _ = told(sight(binding(), logical=logical(), info=forged), mirror)
    assert creator == Creator("https://idp.example/realms/acme", "jane@acme.example")


@pytest.mark.parametrize(
    ("seen", "mirror"),
    [
        (sight(binding(), logical=logical()), Mirror()),
        (sight(binding(), logical=logical()), mirror_with(cluster=OTHER)),
        (sight(binding(), logical=logical(owner=(OTHER, "payments"))), mirror_with()),
        (sight(binding(), info=info(name="other")), mirror_with()),
        (sight(binding(), logical=logical(), info=info(origin=OTHER)), mirror_with(cluster=OTHER)),
        (sight(binding(), logical=logical()), mirror_with(creator="")),
        (sight(binding(), logical=logical()), mirror_with(creator="jane\n@acme")),
        (sight(binding()), mirror_with()),
    ],
)
def test_what_is_not_proven_names_nobody(seen: Sight, mirror: Mirror) -> None:
    assert told(seen, mirror)[0] is None


def test_an_account_info_cannot_lead_away_from_what_kcp_says_of_the_cluster() -> None:
    """A member points their AccountInfo at a workspace of their own making; kcp's own word comes first."""
    mirror = mirror_with()
    evil = mirror.endpoint(READ_ONLY_URL)
    evil.accounts.put(
        msgspec.convert(
            {"metadata": metadata(OTHER, "mine"), "spec": {"creator": "eve@evil.example"}}, Account
        )
    )
    evil.workspaces.put(
        msgspec.convert({"metadata": metadata(OTHER, "mine"), "spec": {"cluster": CLUSTER}}, Workspace)
    )
    creator, _ = told(sight(binding(), logical=logical(), info=info(origin=OTHER, name="mine")), mirror)
    assert creator is not None
    assert creator.username == "jane@acme.example"


def forged(mirror: Mirror, spec: dict[str, Any]) -> Mirror:
    """A member's own workspace has a Workspace ``mine``, in which they wrote what is given."""
    evil = mirror.endpoint(READ_ONLY_URL)
    account = {"metadata": metadata(OTHER, "mine"), "spec": {"creator": "eve@evil.example"}}
    evil.accounts.put(msgspec.convert(account, Account))
    evil.workspaces.put(msgspec.convert({"metadata": metadata(OTHER, "mine"), "spec": spec}, Workspace))
    return mirror


@pytest.mark.parametrize(
    "words",
    [{"info": info(origin=OTHER, name="mine")}, {"logical": logical(owner=(OTHER, "mine"))}],
    ids=["the account's AccountInfo", "the cluster's own word, which an admin of the workspace may change"],
)
def test_a_mounted_workspace_proves_nothing(words: dict[str, Any]) -> None:
    """kcp lets its owner write any cluster there, as long as there is none."""
    ref = {"apiVersion": "v1", "kind": "Mount", "name": "any"}
    mirror = forged(mirror_with(), {"cluster": CLUSTER, "mount": {"ref": ref}})
    assert told(sight(binding(), **words), mirror)[0] is None
    assert mirror.child(mirror.endpoint(READ_ONLY_URL).accounts.of[OTHER]["mine"]) == ""


@pytest.mark.parametrize(
    ("parent", "proven"), [("root:orgs:evil", False), ("root:orgs:acme", True), ("", True)]
)
def test_a_workspace_elsewhere_than_kcp_says_proves_nothing(parent: str, *, proven: bool) -> None:
    mirror = mirror_with()
    above = {"metadata": metadata(ORG), "status": READY}
    above["metadata"]["annotations"]["kcp.io/path"] = parent
    mirror.endpoint(READ_ONLY_URL).bindings.put(msgspec.convert(above, Binding))
    assert (told(sight(binding(), logical=logical()), mirror)[0] is not None) == proven


def test_a_deletion_carries_its_date_and_the_tenants_own_description() -> None:
    known = known_of(present(sight(binding()), Mirror(), issuer=""))
    found = ended(known, Presence.DELETING, sight(binding(), logical=logical(going=True)))
    assert (found.tenant_id, found.name, found.deleted_at) == (CLUSTER, "openkcm", NOW)
    assert ended(known, Presence.UNINSTALLED, sight()).deleted_at is None


@pytest.mark.parametrize(
    ("seen", "stored", "due"),
    [
        (sight(binding()), Presence.PRESENT, Chore.MAKE),
        (sight(binding()), None, None),
        (sight(binding({})), Presence.PRESENT, None),
        (sight(binding(), resource=resource()), Presence.PRESENT, None),
        (sight(binding(), resource=resource(held=False)), Presence.PRESENT, Chore.HOLD),
        (sight(binding(), resource=resource(going=True)), Presence.PRESENT, Chore.MAKE_AGAIN),
        (sight(binding({}), resource=resource(going=True)), Presence.PRESENT, Chore.MAKE_AGAIN),
        (sight(binding(), resource=resource(going=True, held=False)), Presence.PRESENT, None),
        (sight(binding(going=True), resource=resource(going=True)), Presence.PRESENT, None),
        (sight(binding(going=True), resource=resource(going=True)), Presence.UNINSTALLED, Chore.LET_GO),
        (sight(binding(going=True), resource=resource()), Presence.UNINSTALLED, None),
        (
            sight(binding(), logical=logical(going=True), resource=resource(going=True)),
            Presence.PRESENT,
            None,
        ),
        (
            sight(binding(), logical=logical(going=True), resource=resource(going=True)),
            Presence.DELETING,
            Chore.LET_GO,
        ),
        (sight(binding(), resource=resource(going=True)), None, Chore.LET_GO),
    ],
)
def test_a_finalizer_is_let_go_only_on_a_deletion_and_only_when_its_meaning_is_stored(
    seen: Sight, stored: Presence | None, due: Chore | None
) -> None:
    assert chore(seen, stored) is due
