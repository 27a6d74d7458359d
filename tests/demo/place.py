"""Where a clone's demo keeps its data: the same place at every start, shared with no other clone."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

CLONE = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Place:
    """The state directory, and what the demo itself keeps in it."""

    state: Path

    @property
    def manifests(self) -> Path:
        """The watched folder."""
        return self.state / "manifests"

    @property
    def authority(self) -> Path:
        """The certificate that this demo's mail server is checked against; another demo's is another file."""
        return self.state / f"demo-mail-ca-{os.getpid()}.pem"

    @property
    def link(self) -> Path:
        """Where the sign-in link stands when there is no terminal to print it on."""
        return self.state / "sign-in-link.txt"

    @property
    def run_file(self) -> Path:
        """Written by ``openkcm up`` while it runs."""
        return self.state / "run.json"

    @property
    def lock(self) -> Path:
        """Held by ``openkcm up`` while it runs."""
        return self.state / "lock"

    @property
    def used_before(self) -> bool:
        """Whether an earlier run has left its data here."""
        return (self.state / "postgres").exists()

    def accounts(self) -> list[str]:
        """The names of the accounts that were put into the watched folder so far."""
        return sorted(
            path.stem for path in self.manifests.glob("*.yaml") if not path.name.endswith(".status.yaml")
        )


def usual_place(clone: Path, *, root: bool, environ: Mapping[str, str], home: Path) -> Place:
    """``demo-<hash of the clone's path>``: as root below /var/lib/openkcm, else below the XDG state directory."""
    name = "demo-" + hashlib.sha256(os.fsencode(clone.resolve())).hexdigest()[:10]
    if root:
        return Place(Path("/var/lib/openkcm") / name)
    given = environ.get("XDG_STATE_HOME", "")
    top = Path(given) if given.startswith("/") else home / ".local" / "state"
    return Place(top / "openkcm" / name)
