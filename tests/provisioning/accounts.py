"""Manifests of accounts, as a platform would put them into the watched folder."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace
from pathlib import Path

_MANIFEST = """apiVersion: core.platform-mesh.io/v1alpha1
kind: Account
metadata:
  name: {name}
  uid: {id}{deleted}
  annotations:
    kcp.io/cluster: {parent}
    kcp.io/path: root:orgs:meridian
spec:
  type: account
  displayName: {title}
{creator}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One account; its id is the tenant's. ``creator`` empty: nobody says who made it."""

    folder: Path
    id: str = field(default_factory=lambda: f"t-{secrets.token_hex(5)}")
    creator: str = ""
    deleted: bool = False

    @property
    def file(self) -> Path:
        return self.folder / f"{self.id}.yaml"

    def drop(self) -> Account:
        """The manifest is in the folder, whole from the first moment."""
        hidden = self.folder / f".{self.id}.tmp"
        hidden.write_text(
            _MANIFEST.format(
                name=f"account-{self.id}",
                id=self.id,
                parent="3hmrl2jx7q1vzc8k",
                title=f"Account {self.id}",
                creator=f"  creator: {self.creator}\n" if self.creator else "",
                deleted='\n  deletionTimestamp: "2026-11-24T12:00:00Z"' if self.deleted else "",
            )
        )
        hidden.replace(self.file)
        return self

    def delete(self) -> Account:
        """The platform has marked the account for deletion."""
        return replace(self, deleted=True).drop()

    def remove(self) -> None:
        """The manifest is gone: an uninstall."""
        self.file.unlink()
