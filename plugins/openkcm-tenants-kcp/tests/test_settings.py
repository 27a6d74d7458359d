"""Settings are checked at start, and named where they are wrong."""

from __future__ import annotations

import pytest

from openkcm.sdk.refusals import Permanent, Refusal
from openkcm_tenants_kcp.settings import kcp_settings


def test_without_a_kubeconfig_the_plugin_does_nothing() -> None:
    assert kcp_settings({}) is None
    assert kcp_settings({"kubeconfig": " "}) is None


def test_what_is_set_is_taken() -> None:
    found = kcp_settings(
        {"kubeconfig": "/k", "issuer": "https://idp", "watch_s": "20", "skip_clusters": "a, b"}
    )
    assert found is not None
    assert (found.issuer, found.watch_s, found.export) == ("https://idp", 20.0, "operations.openkcm.io")
    assert found.skip_clusters == {"a", "b"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kubeconfig", "relative"),
        ("writer_kubeconfig", "relative"),
        ("export", "a/b"),
        ("issuer", "http://idp"),
        ("watch_s", "600"),
        ("watch_s", "soon"),
        ("confirm_s", "0"),
        ("page_size", "nan"),
        ("pool", "1"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str) -> None:
    with pytest.raises(Permanent) as refused:
        kcp_settings({"kubeconfig": "/k"} | {name: value})
    assert refused.value.refusal is Refusal.SETTING_INVALID
    assert f"The setting {name} of the plugin tenants-kcp" in refused.value.message
