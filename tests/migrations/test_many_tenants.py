"""What is asked of one tenant is found by its id: it reads as little beside twenty thousand others as beside none."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import asyncpg
import pytest

from openkcm.ending import shown
from openkcm.ending import store as ending
from openkcm.ending import told as end_told
from openkcm.keychain import store as keychain
from openkcm.provisioning import ask, progress, steps_ready, told
from openkcm.saga import journal
from tests.databases import ModuleDatabases

pytestmark = pytest.mark.integration

MANY = 20_000
ONE = f"many-{MANY}"
#: Pages of 8 KiB; a whole scan of the smallest of these tables reads hundreds.
MOST_PAGES = 40
FILL = f"""
insert into tenants (id, source, kind, parent, name, display_name, path, origin, reference, presence, stage)
    select 'many-' || n, 's', 'Account', '', 'many-' || n, '', '', '', '', 'gone', 'ready'
    from generate_series(1, {MANY}) n;
update tenants set presence = 'present', stage = 'provisioning' where id = '{ONE}';
insert into sagas (plan, tenant, state) select 'new-tenant', 'many-' || n, 'done' from generate_series(1, {MANY}) n;
insert into keys (key_id, tenant, level, service, version, state, statement)
    select 'key-' || n, 'many-' || n, 'L2', '', 1, 'active', '{{}}' from generate_series(1, {MANY}) n;
insert into wraps (key_id, holder, tenant, wrap) select key_id, 'local', tenant, '{{}}' from keys;
insert into rewraps (key_id, parent, tenant, wrap) select key_id, 'other', tenant, '{{}}' from keys;
analyze
"""  # noqa: S608 - our own numbers
ASKED = {
    "the last set-up": (told._BEGUN, (ONE,)),
    "whether it is a first try": (steps_ready._AGAIN_AT, (MANY,)),
    "the beginning of sagas": (journal._START, ("new-tenant", [ONE], 1.0)),
    "the saga to go on with": (ask._LATEST, (ONE, "new-tenant")),
    "a page's tries": (progress._TENANT, (ONE, "new-tenant")),
    "a page's saga": (progress._SAGA, (ONE, "new-tenant")),
    "an end's saga": (shown._SAGA, (ONE, ending.PLAN)),
    "the last saga": (end_told._LATEST, (ONE,)),
    "whether wraps are the same": (keychain._SAME_WRAPS, (ONE, [f"key-{MANY}"], ["local"], ["{}"])),
    "the wraps": (keychain._WRAPS, (ONE,)),
    "the end of one key": (keychain._FORGET_ONE, (ONE, f"key-{MANY}")),
    "the end of the wraps": (keychain._FORGET, (ONE,)),
    "the end of the wraps by another L2": (keychain._FORGET_REWRAPS, (ONE,)),
}


@pytest.fixture
async def database(databases: ModuleDatabases) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(databases.superuser())
    if not await connection.fetchval("select count(*) from sagas"):
        await connection.execute(FILL)
    yield connection
    await connection.close()


@pytest.mark.parametrize("asked", ASKED)
async def test_among_many_tenants_few_pages_are_read_for(
    database: asyncpg.Connection[asyncpg.Record], asked: str
) -> None:
    statement, values = ASKED[asked]
    # As it is planned for whichever tenant it is asked of: a statement that is prepared once has no other plan.
    await database.execute("set plan_cache_mode = force_generic_plan")
    rolled_back = database.transaction()
    await rolled_back.start()
    found = await database.fetchval(f"explain (analyze, buffers, format json) {statement}", *values)
    await rolled_back.rollback()
    plan = json.loads(found)[0]["Plan"]
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] <= MOST_PAGES, json.dumps(plan, indent=1)
