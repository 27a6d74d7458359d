"""The plugin's hook: a folder becomes a source of tenants when its path is set."""

from __future__ import annotations

from collections.abc import Mapping

from openkcm.sdk.hookspecs import hookimpl
from openkcm.sdk.tenant_source import TenantSource
from openkcm_tenants_directory.settings import directory_settings
from openkcm_tenants_directory.source import DirectorySource


@hookimpl
def openkcm_tenant_source(settings: Mapping[str, str]) -> TenantSource | None:
    """The folder at ``path``; None where no path is set."""
    checked = directory_settings(settings)
    return DirectorySource(checked) if checked else None
