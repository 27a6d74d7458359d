"""Tenants from kcp while workers and kcp itself are killed: every tenant is in the end what kcp says it is."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from openkcm.cli._files import table
from tests.databases import ModuleDatabases
from tests.kcp.apart import Apart, apart
from tests.kills.after import assert_chains_whole, assert_messages_once, wait_quiet
from tests.kills.victims import WORKERS, Killing
from tests.provisioning.consistent import STEPS, assert_accounted_for, assert_keys, journal
from tests.provisioning.moments import held
from tests.provisioning.own_valkey import OwnValkey
from tests.provisioning.processes import until
from tests.provisioning.site import Site, running_site

pytestmark = [pytest.mark.integration, pytest.mark.e2e]

#: Whoever stores what a source says takes this lock first.
_STORING = "select pg_advisory_xact_lock(hashtext('tenancy.observe'))"
_AT_STORE = """select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
    and application_name = 'openkcm-worker' and query like '%tenancy.observe%'"""
_ANY_RELEASE: dict[str, object] = {
    "which": {"verb": "patch", "plural": "tenants"},
    "status": 503,
    "times": None,
}
#: Where an answer of kcp breaks off: (what is asked, the part, after so many bytes of it).
CUTS: dict[str, dict[str, object]] = {
    "in the headers": {"part": "head", "after_bytes": 20},
    "between chunks": {"part": "size"},
    "in a chunk's length": {"part": "size", "after_bytes": 2},
    "in a chunk and in a line": {"part": "data", "after_bytes": 30},
    "behind a chunk's data": {"part": "after"},
    "in the terminating chunk": {"part": "last", "after_bytes": 2},
}


@dataclass
class Mesh:
    """The accounts of all rounds, and what kcp says of each in the end."""

    killing: Killing
    kcp: Apart
    said: dict[str, str] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def site(self) -> Site:
        return self.killing.site

    def appear(self, count: int = 2) -> list[str]:
        names = [f"account-{next(self._numbers)}" for _ in range(count)]
        for name in names:
            self.ids[name] = self.kcp.account(name)
            self.said[name] = "present"
        return names

    def change(self, present: list[str]) -> None:
        """Of six: two are uninstalled, two deleted, two left; and two new ones appear."""
        for name in present[:2]:
            self.kcp.uninstall(name)
            self.said[name] = "uninstalled"
        for name in present[2:4]:
            self.kcp.delete(name)
            self.said[name] = "deleting"
        self.appear()

    def presence(self, name: str) -> str:
        row = self.site.one("select presence from tenants where id = $1", self.ids[name])
        return str(row["presence"]) if row else ""

    def wait_ready(self, names: list[str]) -> None:
        ready = "select from tenants where id = any($1) and stage = 'ready'"
        ids = [self.ids[name] for name in names]
        until(lambda: len(self.site.rows(ready, ids)) == len(ids), what=f"{names} are ready", within_s=60)

    def _wrong(self) -> dict[str, str]:
        """Who is something else than kcp says, and what."""
        found = {name: self.presence(name) for name in self.said}
        return {name: presence for name, presence in found.items() if presence != self.said[name]}

    def assert_as_kcp_says(self) -> None:
        """None is lost, none is there twice, and kcp waits for nothing of ours."""
        until(lambda: not self._wrong(), what="every tenant is what kcp says", within_s=90)
        deleted = [name for name, said in self.said.items() if said == "deleting"]
        unbound = [name for name, said in self.said.items() if said == "uninstalled"]
        until(lambda: all(map(self.kcp.is_gone, deleted)), what="every deleted account is gone from kcp")
        until(lambda: all(map(self.kcp.is_unbound, unbound)), what="every deleted binding is gone from kcp")
        wait_quiet(self.site)
        rows = self.site.rows("select id from tenants order by id")
        assert [row["id"] for row in rows] == sorted(self.ids.values())
        for name, said in self.said.items():
            tenant = self.ids[name]
            assert sorted(journal(self.site, tenant)) == sorted((step, "do") for step in STEPS), name
            if said == "present":
                assert_keys(self.site, tenant)
            else:
                assert_accounted_for(self.site, tenant)
        assert_messages_once(self.site)
        assert_chains_whole(self.site)


@pytest.fixture(scope="module")
def killing(databases: ModuleDatabases, mesh_apart: Apart) -> Iterator[Killing]:
    valkey = OwnValkey()
    try:
        with running_site(databases, valkey.url) as site:
            for name in WORKERS:
                file = site.home / f"{name}.toml"
                before, _, after = file.read_text().partition("[plugins.tenants-directory]")
                rest = after[after.index("[plugins.notify-smtp]") :]
                file.write_text(f"{before}{table('plugins.tenants-kcp', mesh_apart.settings)}\n{rest}")
            site.start("local", "eu-1", "web", "worker")
            yield Killing(site, valkey)
    finally:
        valkey.close()


@pytest.fixture(scope="module")
def mesh_apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apart]:
    folder: Path = tmp_path_factory.mktemp("kcp")
    with apart(folder) as kcp:
        yield kcp


@pytest.fixture(scope="module")
def mesh(killing: Killing, mesh_apart: Apart) -> Mesh:
    return Mesh(killing, mesh_apart)


def test_a_worker_killed_before_what_it_heard_is_stored_loses_nothing(mesh: Mesh) -> None:
    site = mesh.site
    mesh.killing.whole(WORKERS[0])
    present = mesh.appear(6)
    mesh.wait_ready(present)
    with held(site, _STORING):
        mesh.change(present)
        until(lambda: site.one(_AT_STORE), what="somebody is about to store what kcp said")
        until(lambda: _to_go(mesh, present[2:4]), what="kcp waits for our finalizers")
        site.kill(WORKERS[0])
        assert [mesh.presence(name) for name in present] == ["present"] * 6
        assert not any(map(mesh.kcp.is_gone, present[2:4])), "nobody lets go of what is not stored"
    site.start(WORKERS[1])
    mesh.assert_as_kcp_says()


def test_a_worker_killed_after_it_is_stored_and_before_the_finalizer_is_released_leaves_none(
    mesh: Mesh,
) -> None:
    site = mesh.site
    mesh.killing.only(WORKERS[1])
    present = mesh.appear(6)
    mesh.wait_ready(present)
    mesh.kcp.held.call("fault_answer", **_ANY_RELEASE)
    mesh.change(present)
    until(lambda: [mesh.presence(name) for name in present[2:4]] == ["deleting"] * 2, what="it is stored")
    site.kill(WORKERS[1])
    assert _to_go(mesh, present[2:4])
    mesh.kcp.held.call("clear_faults")
    site.start(WORKERS[0])
    mesh.assert_as_kcp_says()


def test_kcp_killed_and_started_through_its_phases_loses_nobody(mesh: Mesh) -> None:
    mesh.killing.only(WORKERS[0])
    present = mesh.appear(6)
    mesh.wait_ready(present)
    mesh.change(present)
    mesh.kcp.restart()
    mesh.appear()
    mesh.assert_as_kcp_says()


@pytest.mark.parametrize("how", ["reset", "close"])
def test_answers_of_kcp_that_break_off_anywhere_lose_nobody(mesh: Mesh, how: str) -> None:
    mesh.killing.only(WORKERS[0])
    present = mesh.appear(6)
    mesh.wait_ready(present)
    for where in CUTS.values():
        for verb in ("list", "watch"):
            mesh.kcp.held.call("fault_cut", which={"verb": verb}, how=how, **where)
    for verb in ("get", "create", "patch"):
        mesh.kcp.held.call(
            "fault_cut", which={"verb": verb, "plural": "tenants"}, part="head", after_bytes=9, how=how
        )
    mesh.kcp.held.call("reset_connections")
    mesh.change(present)
    mesh.assert_as_kcp_says()
    left = set(mesh.kcp.held.call("clear_faults"))
    assert left <= {"get"}, "every one was broken off, but what is asked for only where the mirror lags"


def _to_go(mesh: Mesh, names: list[str]) -> bool:
    """Our resource is marked in each, and held by us."""
    found = [mesh.kcp.resource(name) for name in names]
    return all(
        one is not None and one["metadata"].get("deletionTimestamp") and one["metadata"].get("finalizers")
        for one in found
    )
