"""What is kept of what endpoints show: of a member's own objects nothing that stands in the way of ours."""

from __future__ import annotations

import msgspec
import pytest

from openkcm.sdk.plain_text import display_text
from openkcm_tenants_kcp.mirror import Endpoint, Mirror
from openkcm_tenants_kcp.wire import Account, AccountInfo, Binding, Metadata, TenantResource

CLUSTER = "2hy7gk1p3c0zq9xv"


def tenant(name: str) -> TenantResource:
    return msgspec.convert({"metadata": metadata(name)}, TenantResource)


def metadata(name: str, cluster: str = CLUSTER) -> dict[str, object]:
    return {"name": name, "resourceVersion": "7", "annotations": {"kcp.io/cluster": cluster}}


@pytest.fixture
def endpoint() -> Endpoint:
    return Mirror().endpoint("https://shard")


def test_a_members_own_tenants_are_neither_ours_nor_kept(endpoint: Endpoint) -> None:
    ours = tenant("tenant")
    endpoint.resources.put(tenant("aaa"))
    assert endpoint.sight(CLUSTER).resource is None
    endpoint.resources.replace([tenant("aaa"), ours, tenant("zzz")], [(CLUSTER, "bbb")])
    assert endpoint.sight(CLUSTER).resource == ours
    assert endpoint.resources.of == {CLUSTER: {"tenant": ours}}
    assert endpoint.resources.unreadable == set()


def test_another_account_info_says_nothing(endpoint: Endpoint) -> None:
    forged = {"metadata": metadata("aaa"), "spec": {"oidc": {"issuerUrl": "https://evil.example"}}}
    endpoint.infos.put(msgspec.convert(forged, AccountInfo))
    assert endpoint.sight(CLUSTER).info is None


def test_nobody_is_missing_where_kcp_does_not_say_whose_a_binding_is(endpoint: Endpoint) -> None:
    stamped, bare = metadata("openkcm"), metadata("openkcm", "")
    endpoint.bindings.replace([msgspec.convert({"metadata": stamped}, Binding)], [])
    mirror = endpoint.bindings._mirror
    assert not mirror.obscured(CLUSTER)
    endpoint.bindings.replace([msgspec.convert({"metadata": bare}, Binding)], [])
    assert mirror.obscured(CLUSTER)
    assert mirror.unreadable()
    endpoint.bindings.replace([msgspec.convert({"metadata": stamped}, Binding)], [])
    assert not mirror.obscured(CLUSTER)


def test_a_deletion_without_a_time_zone_cannot_be_read() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"deletionTimestamp": "2026-11-27T12:00:00"}, Metadata)


def test_of_an_accounts_name_no_more_is_kept_than_is_shown(endpoint: Endpoint) -> None:
    name = "\N{KEY} " + "n" * 1_000_000
    raw = msgspec.json.encode({"metadata": metadata("payments"), "spec": {"displayName": name}})
    endpoint.accounts.put(msgspec.json.decode(raw, type=Account))
    kept = endpoint.accounts.of[CLUSTER]["payments"].spec.display_name
    assert len(kept) <= 512
    assert display_text(kept) == display_text(name)
    assert len(display_text(kept)) == 256
