"""What pages and commands show of a tenant's own root keys."""

from __future__ import annotations

import pytest

from openkcm.catalog.registry import KeyStores
from openkcm.kernel.db import Role, transaction
from openkcm.keychain.states import KeyVerb
from openkcm.keystores.check import ask_check
from openkcm.keystores.connect import connect
from openkcm.keystores.view import shown_key_stores
from tests.activation.parts import TENANT
from tests.keystores.parts import OPS, OwnRoots

pytestmark = pytest.mark.integration


async def test_a_page_has_connection_versions_findings_and_what_is_in_force(own: OwnRoots) -> None:
    before = await shown_key_stores(TENANT, own.connecting.stores, role=Role.APP)
    assert (before.platform, before.connections, before.regions) == (True, (), ("local", "eu-1"))
    made = await own.good()
    (line,) = (await shown_key_stores(TENANT, own.connecting.stores, role=Role.APP)).connections
    assert (line.plugin_title, line.kind, line.title) == (
        "Key store in memory",
        "hyok",
        "Key store in memory",
    )
    assert (line.usable, line.in_force, line.checking, line.used_by) == (True, False, False, ())
    assert [(check.region, check.good, check.reference) for check in line.checks] == [
        ("local", True, "payments"),
        ("eu-1", True, "payments"),
    ]
    await own.keys.do(KeyVerb.RELINK, connection=made)
    await connect(own.connecting, own.given(request="next", connection=made, password="next"))
    page = await shown_key_stores(TENANT, own.connecting.stores, role=Role.APP)
    (line,) = page.connections
    assert (page.platform, page.subject) == (False, await own.subject())
    assert (line.in_force, line.used_by, line.version, line.newest, line.usable) == (True, (2,), 1, 2, False)
    assert [(each.version, each.counts, each.secrets) for each in line.versions] == [
        (2, False, ("password",)),
        (1, True, ("password",)),
    ]
    assert page.outage.policy.choice == "memory-only"
    assert not page.outage.worst.survives_restart


async def test_a_check_that_was_asked_for_shows_until_every_region_has_said(own: OwnRoots) -> None:
    made = await own.good()
    async with transaction(Role.SYSTEM) as tx:
        assert await ask_check(tx, TENANT, made, by=OPS) == 2
    (line,) = (await shown_key_stores(TENANT, own.connecting.stores)).connections
    assert (line.checking, line.checks_asked) == (True, 2)
    await own.work()
    (line,) = (await shown_key_stores(TENANT, own.connecting.stores)).connections
    assert not line.checking
    assert {check.number for check in line.checks} == {2}


async def test_a_plugin_that_is_not_installed_here_is_shown_by_its_name(own: OwnRoots) -> None:
    await own.connect()
    (line,) = (await shown_key_stores(TENANT, KeyStores())).connections
    assert line.plugin_title == "memory"
