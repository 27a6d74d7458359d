"""The installation that is killed in every way: short leases, both graces of two seconds, a Valkey of its own."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import pytest

from tests.databases import REGIONS, ModuleDatabases
from tests.kills.holding import Holds, holding
from tests.kills.post import HeldMail
from tests.kills.victims import WORKERS, Killing, resume
from tests.provisioning.own_valkey import OwnValkey
from tests.provisioning.site import running_site

# The core without any plugin passes its tests too.
collect_ignore = [] if importlib.util.find_spec("openkcm_tenants_kcp") else ["test_kcp_matrix.py"]

ADDED = (
    *((name, "[worker]\n", "database_connections = 28\n") for name in WORKERS),
    *((name, "[tenants]\n", "grace_s = 2\nshort_grace = true\n") for name in WORKERS),
    *((name, 'timeout_s = "3"\n', 'timeout_s = "25"\n') for name in WORKERS),
    *((name, "[crypto]\n", "short_grace = true\n") for name in REGIONS),
)


@pytest.fixture(scope="module")
def killing(databases: ModuleDatabases) -> Iterator[Killing]:
    valkey = OwnValkey()
    try:
        with running_site(databases, valkey.url) as site:
            for name, after, lines in ADDED:
                file = site.home / f"{name}.toml"
                text = file.read_text()
                assert text.count(after) == 1, (name, after)
                file.write_text(text.replace(after, lines if "=" in after else after + lines))
            Holds(site).prepare()
            site.start("local", "eu-1", "web", "worker")
            yield Killing(site, valkey)
    finally:
        valkey.close()


@pytest.fixture
def holds(killing: Killing) -> Iterator[Holds]:
    with holding(killing.site) as made:
        yield made


@pytest.fixture
def mail(killing: Killing) -> Iterator[HeldMail]:
    made = HeldMail(killing.site)
    yield made
    made.let_go()


@pytest.fixture(autouse=True)
def nobody_stands_still(killing: Killing) -> Iterator[None]:
    """Whom a failed test has paused goes on."""
    yield
    for name in killing.site.children:
        if killing.site.children[name].process is not None:
            resume(killing.site, name)
