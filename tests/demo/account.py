"""A new account, as Platform Mesh would have it: another one at every run."""

from __future__ import annotations

import os
import secrets
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_PLACES = [
    "harbour",
    "orchard",
    "granite",
    "lantern",
    "meadow",
    "cobalt",
    "juniper",
    "saffron",
    "willow",
    "ember",
    "thistle",
    "basalt",
    "heron",
    "maple",
    "quarry",
    "tundra",
    "verdant",
    "copper",
    "linden",
    "aurora",
]
_TRADES = [
    "payments",
    "ledger",
    "billing",
    "claims",
    "archive",
    "clinic",
    "freight",
    "notary",
    "payroll",
    "research",
    "lending",
    "imaging",
    "dispatch",
    "registry",
    "genomics",
    "telemetry",
    "invoices",
    "records",
    "custody",
    "identity",
]
_FIRST = [
    "ada",
    "bram",
    "chidi",
    "daria",
    "elif",
    "fatou",
    "goran",
    "hana",
    "ines",
    "jonas",
    "kofi",
    "leila",
    "mira",
    "noor",
    "oskar",
    "priya",
]
_LAST = [
    "almeida",
    "bakker",
    "castellan",
    "demir",
    "eriksen",
    "fischer",
    "haddad",
    "ivanova",
    "jensen",
    "kowalski",
    "okafor",
    "tanaka",
]

_MANIFEST = """\
apiVersion: core.platform-mesh.io/v1alpha1
kind: Account
metadata:
  name: {name}
  uid: {uid}
  creationTimestamp: "{now}"
  generation: 1
  annotations:
    kcp.io/cluster: {parent}
    kcp.io/path: root:orgs:{organisation}
  finalizers:
    - account.core.platform-mesh.io/finalizer
spec:
  type: account
  displayName: {title}
  creator: {creator}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What the demo knows of the account that it is about to create. Its id is that of the resource."""

    uid: str
    name: str
    title: str
    creator: str
    parent: str
    organisation: str = "meridian"

    def manifest(self) -> str:
        """The resource as ``kubectl get -o yaml`` would show it in the organisation's workspace."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return _MANIFEST.format(
            name=self.name,
            uid=self.uid,
            now=now,
            parent=self.parent,
            organisation=self.organisation,
            title=self.title,
            creator=self.creator,
        )

    def drop(self, folder: Path) -> Path:
        """The manifest is in the folder, whole from the first moment; returns where."""
        final = folder / f"{self.name}.yaml"
        hidden = folder / f".{self.name}.{os.getpid()}.tmp"
        hidden.write_text(self.manifest(), encoding="utf-8")
        hidden.replace(final)
        return final


def new_account(taken: Collection[str], *, parent: str = "3hmrl2jx7q1vzc8k") -> Account:
    """An account that has not been there before: a fresh id, and a name that is none of ``taken``."""
    place, trade = secrets.choice(_PLACES), secrets.choice(_TRADES)
    name = f"{place}-{trade}"
    while name in taken:
        name = f"{place}-{trade}-{secrets.randbelow(9000) + 1000}"
    return Account(
        uid=str(uuid.uuid4()),
        name=name,
        title=name.replace("-", " ").title(),
        creator=f"{secrets.choice(_FIRST)}.{secrets.choice(_LAST)}@meridian.example",
        parent=parent,
    )
