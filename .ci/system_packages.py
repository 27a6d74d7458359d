"""Parts of the machine that tests need: installed where that is allowed, named where it is not."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import nox


@dataclass(frozen=True, slots=True)
class Part:
    """A Debian package, and how to see that what it brings is there."""

    package: str
    program: str = ""
    file: str = ""

    def present(self) -> bool:
        """Whether the machine has it already, from wherever."""
        return bool(self.program and shutil.which(self.program)) or any(Path("/").glob(self.file or "none"))


_PARTS = [
    Part("chromium", program="chromium"),  # browser tests: the pages as a person sees them
    Part("libfaketime", file="usr/lib/*/faketime/libfaketime.so.1"),  # a clock that jumps
    Part("kubernetes-client", program="kubectl"),  # a second client of the emulated kcp
    Part("npm", program="npm"),  # a certified OpenID provider
]
LOAD = Part("wrk", program="wrk")  # the figures: a client that costs less than what it measures


def install(session: nox.Session, *more: Part) -> None:
    """Every part is there, or it was said which are not: their tests are skipped by name (failures under CI=true).

    Only root on a Debian is allowed to install; nothing that the machine has is removed for it.
    """
    wanted = [*_PARTS, *more]
    missing = [part.package for part in wanted if not part.present()]
    if not missing:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        session.warn(f"Not on this machine: {', '.join(missing)}. The tests that need them are skipped.")
        return
    session.log(f"Installing with apt: {', '.join(missing)}")
    environment = {"DEBIAN_FRONTEND": "noninteractive"}
    apt = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=120"]
    # Several codes are accepted: without a network the tests that can run still run.
    any_code = range(256)
    session.run(*apt, "update", env=environment, external=True, silent=True, success_codes=any_code)
    session.run(
        *apt,
        *["install", "-y", "--no-install-recommends", "--no-remove", *missing],
        env=environment,
        external=True,
        silent=True,
        success_codes=any_code,
    )
    if still := [part.package for part in wanted if not part.present()]:
        session.warn(f"Could not be installed: {', '.join(still)}. The tests that need them are skipped.")
