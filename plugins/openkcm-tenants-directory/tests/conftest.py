"""A folder in the hands of a test."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest

from openkcm.sdk.conformance.place import Place, Placed
from openkcm.sdk.tenant_source import TenantSource
from openkcm_tenants_directory.plugin import openkcm_tenant_source


class Folder(Place):
    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()

    def open(self) -> TenantSource:
        source = openkcm_tenant_source({"path": str(self.path), "poll_s": "0.2"})
        assert source is not None
        return source

    def put(self, tenant: Placed) -> None:
        self._write(tenant, {})

    def remove(self, tenant: Placed) -> None:
        (self.path / f"{tenant.name}.json").unlink()

    def delete(self, tenant: Placed, *, at: datetime) -> None:
        self._write(tenant, {"deletionTimestamp": at.isoformat()})

    def spoil(self) -> str:
        (self.path / "broken.yaml").write_text("kind: Account\nmetadata: [")
        return "broken.yaml"

    def mend(self) -> None:
        (self.path / "broken.yaml").unlink()

    def go_away(self) -> None:
        self.path.rename(self.path.with_suffix(".away"))

    def come_back(self) -> None:
        self.path.with_suffix(".away").rename(self.path)

    def status_of(self, tenant: Placed) -> str:
        return (self.path / f"{tenant.name}.json.status.yaml").read_text()

    def _write(self, tenant: Placed, metadata: dict[str, str]) -> None:
        manifest = {
            "apiVersion": "core.platform-mesh.io/v1alpha1",
            "kind": "Account",
            "metadata": {
                "name": tenant.name,
                "uid": tenant.tenant_id,
                "annotations": {"kcp.io/cluster": tenant.parent},
                **metadata,
            },
            "spec": {
                "type": "account",
                "displayName": tenant.display_name,
                "creator": tenant.creator or None,
            },
        }
        (self.path / f"{tenant.name}.json").write_text(json.dumps(manifest))


@pytest.fixture
def place(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "tenants")
