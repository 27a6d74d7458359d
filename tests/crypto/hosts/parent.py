"""A parent of a busy host: prints the host's pid, then a line when the host is in its loop, then ends as it is told."""

from __future__ import annotations

import asyncio
import os
import sys
import time

from openkcm.catalog.registry import Installed
from openkcm.crypto.hosts.pool import HostLimits, Hosts
from openkcm.crypto.hosts.stores import GuardedStores
from openkcm.sdk.key_store import Connection, Context


async def main() -> None:
    planted = Installed(name="planted", module="planted_store", distribution="", version="")
    settings = {"planted": {"call_s": "30"}}
    stores = GuardedStores(Hosts(settings, HostLimits(), plugins=(planted,), paths=(sys.argv[2],)))
    connection = Connection(id="c", tenant="acme", answers={"n": "1"}, secrets={"key": "00" * 32})
    store = stores.at("planted", connection)
    sys.stdout.write((await store.describe()).origin + "\n")
    sys.stdout.flush()
    busy = asyncio.create_task(store.wrap(bytes(32), Context(tenant="acme", key_id="busy", region="local")))
    await asyncio.sleep(0.5)
    sys.stdout.write("busy\n")
    sys.stdout.flush()
    if sys.argv[1] == "exit":
        os._exit(0)
    time.sleep(60)
    await busy


asyncio.run(main())
