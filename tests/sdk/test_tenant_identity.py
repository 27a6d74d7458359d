"""The table of who is which tenant, kind by kind (docs/reference/tenant-sources.md)."""

from __future__ import annotations

import pytest

from openkcm.sdk.refusals import Permanent, Refusal
from openkcm.sdk.tenant_id import checked_tenant_id, is_tenant_id
from openkcm.sdk.tenant_identity import Identity, creator_of, identify
from openkcm.sdk.tenant_source import Creator

ORG = "1orgacme00000000"
OTHER_ORG = "1orgbeta00000000"
OWN = "2hy7gk1p3c0zq9xv"
UID = "0b5c2c3e-8f5e-4b6c-9a53-0d5a7c1f2e11"
OTHER_UID = "7d1e9f60-1c2b-4d3e-8f4a-5b6c7d8e9f00"


def account(name: str = "payments", *, uid: str | None = UID, cluster: str | None = ORG) -> dict[str, object]:
    annotations = {"kcp.io/cluster": cluster, "kcp.io/path": "root:orgs:acme"} if cluster else None
    metadata = {"name": name, "uid": uid, "annotations": annotations}
    return {
        "apiVersion": "core.platform-mesh.io/v1alpha1",
        "kind": "Account",
        "metadata": {key: value for key, value in metadata.items() if value is not None},
        "spec": {"type": "account", "displayName": "Payments", "creator": "jane@acme.example"},
    }


def account_info(**changes: object) -> dict[str, object]:
    own = {
        "name": "payments",
        "type": "account",
        "generatedClusterId": OWN,
        "originClusterId": ORG,
        "path": "root:orgs:acme:payments",
    }
    return {
        "apiVersion": "core.platform-mesh.io/v1alpha1",
        "kind": "AccountInfo",
        "metadata": {"name": "account", "annotations": {"kcp.io/cluster": "9forged000000000"}},
        "spec": {
            "account": own | changes,
            "oidc": {"issuerUrl": "https://base.example/keycloak/realms/acme"},
        },
    }


def placed(kind: str, version: str, *, cluster: str | None = OWN) -> dict[str, object]:
    annotations = {"kcp.io/path": "root:orgs:acme:payments"} | (
        {"kcp.io/cluster": cluster} if cluster else {}
    )
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": "openkcm-x7k2p", "annotations": annotations},
    }


PLACED = [
    ("APIBinding", "apis.kcp.io/v1alpha2"),
    ("APIBinding", "apis.kcp.io/v1alpha1"),
    ("LogicalCluster", "core.kcp.io/v1alpha1"),
    ("Tenant", "operations.openkcm.io/v1alpha1"),
]


def test_an_account_is_its_uid_and_its_cluster_is_its_parents() -> None:
    path = "root:orgs:acme:payments"
    assert identify(account()) == Identity(
        tenant_id=UID, kind="Account", parent=ORG, name="payments", path=path
    )


def test_an_account_without_uid_is_kept_by_kind_parent_and_name() -> None:
    found = identify(account(uid=None))
    assert (found.tenant_id, found.kind, found.parent, found.name) == (None, "Account", ORG, "payments")


def test_an_account_written_by_hand_needs_nothing_but_a_name() -> None:
    written = {
        "apiVersion": "core.platform-mesh.io/v1alpha1",
        "kind": "Account",
        "metadata": {"name": "payments"},
    }
    assert identify(written) == Identity(tenant_id=None, kind="Account", parent="", name="payments")


def test_two_accounts_of_one_org_are_two_tenants() -> None:
    first, second = identify(account("payments")), identify(account("ledgers", uid=OTHER_UID))
    assert first.parent == second.parent == ORG
    assert (first.tenant_id, second.tenant_id) == (UID, OTHER_UID)


def test_one_name_in_two_orgs_is_two_tenants() -> None:
    first, second = identify(account()), identify(account(uid=OTHER_UID, cluster=OTHER_ORG))
    assert first.name == second.name
    assert (first.tenant_id, second.tenant_id) == (UID, OTHER_UID)


def test_one_name_in_two_orgs_without_uids_is_told_apart_by_the_parent() -> None:
    first, second = identify(account(uid=None)), identify(account(uid=None, cluster=OTHER_ORG))
    assert first != second


def test_a_forged_cluster_on_an_account_changes_its_parent_at_most() -> None:
    victim = identify(placed(*PLACED[0])).tenant_id
    forged = identify(account(cluster=victim))
    assert forged.tenant_id == UID
    assert forged.tenant_id != victim
    assert identify(account(uid=None, cluster=victim)).tenant_id is None


def test_an_account_made_again_is_a_new_tenant() -> None:
    assert identify(account()).tenant_id != identify(account(uid=OTHER_UID)).tenant_id


def test_an_account_info_is_the_generated_cluster_and_not_its_annotation() -> None:
    found = identify(account_info())
    assert (found.tenant_id, found.parent, found.name) == (OWN, ORG, "payments")
    assert found.path == "root:orgs:acme:payments"


@pytest.mark.parametrize(("kind", "version"), PLACED)
def test_what_lives_in_a_tenants_workspace_is_that_workspaces_cluster(kind: str, version: str) -> None:
    found = identify(placed(kind, version))
    assert (found.tenant_id, found.parent, found.name) == (OWN, OWN, "openkcm-x7k2p")
    assert found.path == "root:orgs:acme:payments"


@pytest.mark.parametrize(("kind", "version"), PLACED)
def test_without_a_cluster_there_is_no_tenant(kind: str, version: str) -> None:
    with pytest.raises(Permanent, match=r"kcp\.io/cluster is missing") as refused:
        identify(placed(kind, version, cluster=None))
    assert refused.value.refusal is Refusal.MANIFEST_INVALID


@pytest.mark.parametrize("missing", ["", None])
def test_an_account_info_that_is_not_filled_in_yet_is_no_tenant(missing: str | None) -> None:
    with pytest.raises(Permanent, match="generatedClusterId is missing") as refused:
        identify(account_info(generatedClusterId=missing))
    assert refused.value.refusal is Refusal.MANIFEST_INVALID


@pytest.mark.parametrize(
    ("kind", "version"),
    [
        ("Workspace", "tenancy.kcp.io/v1alpha1"),
        ("Account", "example.com/v1"),
        ("Account", "v1"),
        ("account", "core.platform-mesh.io/v1alpha1"),
        ("<b>Account</b>", "core.platform-mesh.io/v1alpha1"),
    ],
)
def test_another_kind_or_group_is_named_and_what_may_be_instead(kind: str, version: str) -> None:
    with pytest.raises(Permanent) as refused:
        identify({"apiVersion": version, "kind": kind, "metadata": {"name": "payments", "uid": UID}})
    assert refused.value.refusal is Refusal.KIND_UNKNOWN
    assert kind in refused.value.message
    assert refused.value.remedy is not None
    assert "AccountInfo of core.platform-mesh.io" in refused.value.remedy.action


@pytest.mark.parametrize(
    ("manifest", "named"),
    [
        ({}, "kind is missing"),
        ({"kind": "Account"}, "apiVersion is missing"),
        ({"kind": 7, "apiVersion": "core.platform-mesh.io/v1"}, "kind is not text"),
        (account() | {"metadata": None}, "metadata is missing or is not a mapping"),
        (account() | {"metadata": "payments"}, "metadata is missing or is not a mapping"),
        (account() | {"metadata": {"name": ""}}, "metadata.name is missing"),
        (account() | {"metadata": {"name": 7}}, "metadata.name is not text"),
        (account() | {"metadata": {"name": "a\nb"}}, "metadata.name has control characters"),
        (
            account() | {"metadata": {"name": "a" * 254}},
            "or more than 253 characters",
        ),
        (account() | {"metadata": {"name": "\ud800"}}, "metadata.name has control characters"),
        (account() | {"metadata": {"name": "a", "uid": 7}}, "metadata.uid is not text"),
        (
            account() | {"metadata": {"name": "a", "annotations": []}},
            "metadata.annotations is missing or is not",
        ),
        (account_info() | {"spec": {}}, "spec.account is missing"),
    ],
)
def test_what_is_missing_or_no_text_is_named(manifest: dict[str, object], named: str) -> None:
    with pytest.raises(Permanent) as refused:
        identify(manifest)
    assert refused.value.refusal is Refusal.MANIFEST_INVALID
    assert named in refused.value.message


@pytest.mark.parametrize("form", ["a", "0", "a-b", "a" * 63, OWN, UID])
def test_an_id_of_the_form_is_taken_as_it_is(form: str) -> None:
    assert is_tenant_id(form)
    assert checked_tenant_id(form) == form


@pytest.mark.parametrize(
    "form",
    ["", "-a", "A", "a" * 64, "a_b", "a.b", "a b", "a\n", "ä", "٣", "a/../b", "<b>", "\ud800", UID.upper()],
)
def test_an_id_of_another_form_is_refused(form: str) -> None:
    assert not is_tenant_id(form)
    with pytest.raises(Permanent) as refused:
        checked_tenant_id(form)
    assert refused.value.refusal is Refusal.TENANT_ID_INVALID
    assert refused.value.message.isascii()


@pytest.mark.parametrize(
    "manifest", [account(uid="NOT AN ID"), account_info(generatedClusterId="root:orgs:acme")]
)
def test_an_identity_of_another_form_is_refused(manifest: dict[str, object]) -> None:
    with pytest.raises(Permanent) as refused:
        identify(manifest)
    assert refused.value.refusal is Refusal.TENANT_ID_INVALID


def test_the_creator_of_an_account_is_known_by_the_sources_issuer() -> None:
    assert creator_of(account(), issuer="https://kc") == Creator("https://kc", "jane@acme.example")
    assert creator_of(account(), issuer="") == Creator("", "jane@acme.example")


def test_an_account_infos_own_issuer_goes_before_the_sources() -> None:
    manifest = account_info()
    spec = manifest["spec"]
    assert isinstance(spec, dict)
    manifest["spec"] = spec | {"creator": "jane@acme.example"}
    own = "https://base.example/keycloak/realms/acme"
    assert creator_of(manifest, issuer="https://kc") == Creator(own, "jane@acme.example")


@pytest.mark.parametrize("spec", [None, {}, {"creator": None}, {"creator": ""}])
def test_a_missing_creator_is_nobody(spec: object) -> None:
    assert creator_of(account() | {"spec": spec}, issuer="https://kc") is None


@pytest.mark.parametrize(("kind", "version"), PLACED)
def test_a_tenant_writable_object_names_no_creator(kind: str, version: str) -> None:
    manifest = placed(kind, version) | {"spec": {"creator": "eve@evil.example"}}
    assert creator_of(manifest, issuer="https://kc") is None


@pytest.mark.parametrize("creator", [7, ["a"], "a\r\nb"])
def test_a_creator_that_is_no_text_is_refused(creator: object) -> None:
    with pytest.raises(Permanent, match=r"spec\.creator"):
        creator_of(account() | {"spec": {"creator": creator}}, issuer="")


@pytest.mark.parametrize("key", ["creator", "oidc"])
def test_a_creator_that_would_be_read_otherwise_than_it_is_written_is_refused(key: str) -> None:
    turned = "https://idp.example/\u202emoc"
    manifest = account()
    manifest["spec"] = {
        "creator": "jane@acme.example",
        key: turned if key == "creator" else {"issuerUrl": turned},
    }
    with pytest.raises(Permanent, match="turn the reading direction") as refused:
        creator_of(manifest, issuer="")
    assert refused.value.refusal is Refusal.MANIFEST_INVALID
    assert refused.value.remedy is not None


def test_a_name_that_would_be_read_otherwise_than_it_is_written_is_refused() -> None:
    with pytest.raises(Permanent, match=r"metadata\.name has .*reading direction"):
        identify(account("pay\u2066ments"))
