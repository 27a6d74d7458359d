"""The plugin's hook: kcp becomes a source of tenants when its kubeconfig is set."""

from __future__ import annotations

from collections.abc import Mapping

from openkcm.sdk.hookspecs import hookimpl
from openkcm.sdk.tenant_source import TenantSource
from openkcm_tenants_kcp.settings import kcp_settings
from openkcm_tenants_kcp.source import KcpSource


@hookimpl
def openkcm_tenant_source(settings: Mapping[str, str]) -> TenantSource | None:
    """The kcp of ``kubeconfig``; None where no kubeconfig is set."""
    checked = kcp_settings(settings)
    return KcpSource(checked) if checked else None
