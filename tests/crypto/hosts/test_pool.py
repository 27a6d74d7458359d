"""Which hosts run: started, kept, ended, started again; and what the operator grants them."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from openkcm.crypto.hosts.failed import StoreFailed
from openkcm.crypto.hosts.landlock import landlock_abi
from openkcm.crypto.hosts.pool import HostLimits
from openkcm.sdk.key_store import Outage
from tests.crypto.hosts.conftest import L2, Make, connection, context
from tests.parts import require


async def test_a_host_killed_by_somebody_is_started_again(make: Make) -> None:
    house = make()
    store = house.stores.at("planted", connection())
    waiting = asyncio.create_task(store.wrap(L2, context("hang")))
    while not (house.pids and next(iter(house.hosts.running)).in_flight):
        await asyncio.sleep(0.01)
    (pid,) = house.pids
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(StoreFailed) as failed:
        await waiting
    assert failed.value.code == "host-died"
    await store.wrap(L2, context())
    assert house.pids != {pid}


async def test_an_idle_host_ends_and_the_next_call_starts_another(make: Make) -> None:
    house = make(limits=HostLimits(idle_s=1.0))
    store = house.stores.at("planted", connection())
    await store.probe()
    before = house.pids
    async with asyncio.timeout(20):
        while house.pids:
            await asyncio.sleep(0.05)
    await store.probe()
    assert house.pids
    assert house.pids != before


async def test_at_the_limit_an_idle_host_makes_room_and_busy_ones_do_not(make: Make) -> None:
    house = make(limits=HostLimits(limit=2), apart="yes", call_s="5")
    stores = [house.stores.at("planted", connection(f"c{number}")) for number in range(3)]
    for store in stores:
        await store.probe()
        assert len(house.pids) <= 2
    busy = [asyncio.create_task(store.wrap(L2, context("hang"))) for store in stores[1:]]
    await asyncio.sleep(0.3)
    with pytest.raises(StoreFailed) as failed:
        await stores[0].probe()
    assert failed.value.code == "overloaded"
    for each in busy:
        each.cancel()
    await asyncio.gather(*busy, return_exceptions=True)


async def test_a_plugin_that_cannot_be_loaded_is_no_answer(make: Make) -> None:
    house = make()
    for name in ("planted", "unknown"):
        house.hosts._paths.clear()
        with pytest.raises(StoreFailed) as failed:
            await house.stores.at(name, connection()).probe()
        assert (failed.value.code, failed.value.outage) == ("host-died", Outage.NO_ANSWER)


async def test_closing_leaves_no_process(make: Make) -> None:
    house = make(apart="yes")
    for name in ("one", "two"):
        await house.stores.at("planted", connection(name)).probe()
    pids = house.pids
    await house.stores.aclose()
    assert len(pids) == 2
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []
    with pytest.raises(StoreFailed):
        await house.stores.at("planted", connection("one")).probe()


async def test_a_forgotten_connection_has_no_host_of_its_own_left(make: Make) -> None:
    house = make(apart="yes")
    store = house.stores.at("planted", connection("one"))
    await store.probe()
    house.stores.forget("planted", "one")
    async with asyncio.timeout(20):
        while house.pids:
            await asyncio.sleep(0.01)
    assert house.hosts._places == {}
    await house.stores.at("planted", connection("one")).probe()


async def test_a_host_that_keeps_dying_is_started_ever_later(make: Make) -> None:
    house = make()
    store = house.stores.at("planted", connection())
    for death in range(1, 4):
        with pytest.raises(StoreFailed):
            await store.wrap(L2, context("leave"))
        (place,) = house.hosts._places.values()
        assert place.deaths == death
    (place,) = house.hosts._places.values()
    place.not_before = asyncio.get_running_loop().time() + 30
    with pytest.raises(StoreFailed) as failed:
        await store.probe()
    assert failed.value.code == "host-died"
    assert failed.value.retry_after_s is not None
    assert 29 < failed.value.retry_after_s <= 30
    place.not_before = 0
    await store.probe()
    assert place.deaths == 0


async def test_the_crypto_process_imports_nothing_of_a_plugin(make: Make) -> None:
    await make().stores.at("planted", connection()).probe()
    assert [name for name in sys.modules if "planted_store" in name] == []


async def test_the_operator_grants_paths_and_ports(make: Make, tmp_path: Path) -> None:
    require("Landlock", landlock_abi() >= 4, f"ABI 4 wanted, this kernel has {landlock_abi()}")
    (tmp_path / "readable").write_text("granted", encoding="utf-8")
    (tmp_path / "token").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as granted, socket.create_server(("127.0.0.1", 0)) as other:
        ports = [str(each.getsockname()[1]) for each in (granted, other)]
        targets = {
            "granted": str(tmp_path / "readable"),
            "new_file": str(tmp_path / "token/new"),
            "port": ports[0],
            "other_port": ports[1],
        }
        grants = {
            "host_reads": targets["granted"],
            "host_writes": str(tmp_path / "token"),
            "host_ports": ports[0],
        }
        store = make(**grants).stores.at("planted", connection(**targets))
        found = {each.code: each.said for each in await store.check()}
        assert found["read-granted"] == "granted"
        assert found["write-state"] == "written"
        assert found["connect-port"] == "connected"
        assert found["connect-other-port"] == "refused PermissionError"
        assert found["write-temporary"] == "not tried"
        free = {
            each.code: each.said for each in await make().stores.at("planted", connection(**targets)).check()
        }
        assert free["read-granted"] == free["write-state"] == "refused PermissionError"
        assert free["connect-other-port"] == "connected"
