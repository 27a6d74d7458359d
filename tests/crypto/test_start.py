"""A region's first start and every start after it: one root, one database, one identity, or nothing."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import asyncpg
import pytest
from msgspec.structs import replace

from openkcm.kernel.migrate import head
from openkcm.parties.identity import enrol
from openkcm.sdk.refusals import Refusal
from tests.crypto.plane import Plane
from tests.crypto.processes import region_settings, running, start_region
from tests.crypto.refusing import refused
from tests.crypto.world import World
from tests.databases import ModuleDatabases
from tests.parts import require

pytestmark = pytest.mark.integration


@pytest.fixture
async def empty(databases: ModuleDatabases) -> str:
    """The address of region ``local``'s database, with nothing in it."""
    owner = await asyncpg.connect(databases.crypto_owner("local"))
    try:
        await owner.execute("truncate region, roots, keys, wraps, applied, mint_tokens, offers cascade")
    finally:
        await owner.close()
    return databases.crypto("local")


def root_of(plane: Plane) -> Path:
    return Path(plane.local.settings.root_file)


async def test_the_first_start_leaves_a_root_that_only_its_owner_reads(plane: Plane) -> None:
    assert root_of(plane).stat().st_mode & 0o7777 == 0o600
    (row,) = await plane.local.edit("select r.name, o.version, o.fingerprint from region r, roots o")
    assert tuple(row) == ("local", 1, plane.local.here.root.fingerprints[1])
    before = root_of(plane).read_bytes()
    await plane.local.open()
    assert root_of(plane).read_bytes() == before


async def test_a_root_file_that_is_gone_is_named_and_no_other_is_made(plane: Plane) -> None:
    await plane.protect("acme")
    away = root_of(plane).rename(root_of(plane).with_suffix(".away"))
    with refused(Refusal.ROOT_MISSING, naming=str(root_of(plane))):
        await plane.local.open()
    assert not root_of(plane).exists()
    away.rename(root_of(plane))
    await plane.local.open()
    assert (await plane.local.prove("acme")).tenant == "acme"


async def test_a_root_file_of_a_killed_first_start_is_adopted(plane: Plane) -> None:
    before = root_of(plane).read_bytes()
    await plane.local.edit("truncate region, roots cascade")
    await plane.local.open()
    assert root_of(plane).read_bytes() == before
    (row,) = await plane.local.edit("select fingerprint from roots")
    assert row["fingerprint"] == plane.local.here.root.fingerprints[1]


async def test_a_root_file_without_a_row_is_not_adopted_by_a_database_with_keys(plane: Plane) -> None:
    await plane.protect("acme")
    await plane.local.edit("delete from region")
    with refused(Refusal.ROOT_MISMATCH, naming=str(root_of(plane))):
        await plane.local.open()


async def test_another_root_than_the_rows_is_refused(plane: Plane) -> None:
    mine = root_of(plane).read_bytes()
    root_of(plane).write_bytes(mine.replace(b'"root":"', b'"root":"AAAA')[: len(mine)])
    with refused(Refusal.ROOT_UNREADABLE, naming=str(root_of(plane))):
        await plane.local.open()
    other = Path(plane.eu.settings.root_file).read_bytes()
    root_of(plane).write_bytes(other)
    with refused(Refusal.ROOT_MISMATCH, naming=str(root_of(plane))):
        await plane.local.open()
    root_of(plane).write_bytes(other.replace(b'"eu-1"', b'"local"'))
    with refused(Refusal.ROOT_MISMATCH, naming=str(root_of(plane))):
        await plane.local.open()
    root_of(plane).write_bytes(mine)
    await plane.local.open()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
async def test_a_root_file_that_others_may_read_is_refused(plane: Plane, mode: int) -> None:
    root_of(plane).chmod(mode)
    with refused(Refusal.FILE_MODE, naming=str(root_of(plane))):
        await plane.local.open()
    root_of(plane).chmod(0o600)
    await plane.local.open()


async def test_a_root_file_of_another_owner_is_refused(plane: Plane) -> None:
    require("root", os.geteuid() == 0, "only root may give a file away")
    os.chown(root_of(plane), 12345, 12345)
    with refused(Refusal.FILE_MODE, naming=str(root_of(plane))):
        await plane.local.open()
    os.chown(root_of(plane), 0, 0)
    await plane.local.open()


async def test_a_root_file_that_is_a_link_is_refused(plane: Plane) -> None:
    away = root_of(plane).rename(root_of(plane).with_suffix(".away"))
    root_of(plane).symlink_to(away)
    with refused(Refusal.FILE_MODE, naming=str(root_of(plane))):
        await plane.local.open()


async def test_another_regions_database_is_refused(plane: Plane) -> None:
    await plane.local.edit("update region set name = 'mars'")
    with refused(Refusal.DATABASE_FOREIGN, naming="mars"):
        await plane.local.open()


async def test_a_database_of_another_installation_is_refused(plane: Plane, tmp_path: Path) -> None:
    plane.local.identity = enrol(tmp_path / "again.json", "local", "region")
    with refused(Refusal.DATABASE_FOREIGN, naming="installation"):
        await plane.local.open()


async def test_a_new_identity_takes_the_database_over_while_the_old_one_is_pinned(
    plane: Plane, tmp_path: Path
) -> None:
    minted = await plane.protect("acme")
    old = plane.world.local
    plane.local.identity = enrol(tmp_path / "next.json", "local", "region", serial=2)
    plane.world.former = [dataclasses.replace(old.pin, standing="old-signatures")]
    plane.world.local = plane.local.identity
    await plane.local.open()
    assert (await plane.local.prove("acme")).tenant == "acme"
    assert (
        await plane.local.mint("acme", generation=2, token="mint-acme") == minted
    )  # as the old one signed it
    plane.world.former = []
    await plane.local.open()


async def test_a_database_without_tables_and_one_of_a_newer_version_are_refused(plane: Plane) -> None:
    await plane.local.edit("update alembic_version set version_num = '9999'")
    try:
        with refused(Refusal.SCHEMA_NEW):
            await plane.local.open()
        await plane.local.edit("update alembic_version set version_num = '0000'")
        with refused(Refusal.SCHEMA_OLD):
            await plane.local.open()
    finally:
        await plane.local.edit("update alembic_version set version_num = $1", head("crypto"))
    await plane.local.open()


async def test_a_kill_between_root_file_and_row_is_made_good_by_the_next_start(
    world: World, databases: ModuleDatabases, empty: str, tmp_path: Path
) -> None:
    settings = region_settings(tmp_path, "local", empty)
    owner = await asyncpg.connect(databases.crypto_owner("local"))
    try:
        # The region's row waits for a lock that the test holds: there the process is killed.
        block = owner.transaction()
        await block.start()
        await owner.execute("lock table roots in share mode")
        started = start_region(settings, world.parties("local"), wait=False)
        root = Path(settings.root_file)
        ends_at = time.monotonic() + 20
        while not root.exists() or not await owner.fetchval(
            "select exists (select from pg_locks where not granted)"
        ):
            assert time.monotonic() < ends_at
            time.sleep(0.02)
        started.kill()
        await block.rollback()
        made = root.read_bytes()
        assert await owner.fetchval("select count(*) from region") == 0
        with running(settings, world.parties("local")):
            assert root.read_bytes() == made
            assert await owner.fetchval("select count(*) from region") == 1
    finally:
        await owner.close()


async def test_a_full_disk_at_the_first_start_leaves_nothing_half_made(
    world: World, empty: str, tmp_path: Path
) -> None:
    own = ("unshare", "-m") if os.geteuid() == 0 else ("unshare", "-rm")
    tried = subprocess.run([*own, "true"], capture_output=True, check=False)
    require("mount namespaces", tried.returncode == 0, f"{' '.join(own)} is refused here")
    small, listing = tmp_path / "small", tmp_path / "listing"
    small.mkdir()
    settings = replace(region_settings(tmp_path, "local", empty), root_file=str(small / "root.json"))
    script = (
        f"mount -t tmpfs -o size=64k tmpfs {small}; cat /dev/zero > {small}/full 2>/dev/null; "
        f'"$@"; code=$?; ls -A {small} > {listing}; exit $code'
    )
    with pytest.raises(RuntimeError, match=f"^disk-full .*{settings.root_file}"):
        start_region(settings, world.parties("local"), wrap=(*own, "sh", "-c", script, "sh"))
    assert listing.read_text(encoding="utf-8").split() == ["full"]
    with running(settings, world.parties("local")):
        assert Path(settings.root_file).exists()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"data_bind": "0.0.0.0:0"}, Refusal.SETTING_MISSING),
        ({"data_bind": "localhost:8081"}, Refusal.SETTING_INVALID),
        ({"control_bind": "nowhere"}, Refusal.SETTING_INVALID),
        (
            {"data_bind": "192.0.2.1:9", "data_certificate": "/nowhere", "data_key": "/nowhere"},
            Refusal.SETTING_INVALID,
        ),
        ({"region": "mars"}, Refusal.SETTING_INVALID),
        ({"database": "postgresql://127.0.0.1:1/none"}, Refusal.DATABASE_UNAVAILABLE),
    ],
)
def test_settings_that_cannot_be_served_are_refused(
    world: World, tmp_path: Path, change: dict[str, str], code: Refusal
) -> None:
    settings = region_settings(tmp_path, "local", "postgresql://127.0.0.1:1/none")
    with pytest.raises(RuntimeError, match=f"^{code} "):
        start_region(replace(settings, **change), world.parties("local"))


async def test_a_port_that_is_taken_is_named(world: World, empty: str, tmp_path: Path) -> None:
    settings = region_settings(tmp_path, "local", empty)
    other = replace(settings, state_directory=str(tmp_path / "other"))
    with (
        running(settings, world.parties("local")),
        pytest.raises(RuntimeError, match=f"^port-taken .*{settings.data_bind}"),
    ):
        start_region(other, world.parties("local"))


def test_a_hardened_process_is_closed_to_its_own_uid() -> None:
    script = Path(__file__).with_name("trace_me.py")
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, check=True, text=True, timeout=60
    )
    found = json.loads(done.stdout)
    assert found["soft"]["reads"], "the test itself sees nothing here"
    assert found["hard"] == {"reads": False, "attaches": False}


async def test_a_region_runs_hardened(world: World, empty: str, tmp_path: Path) -> None:
    settings = region_settings(tmp_path, "local", empty)
    with running(settings, world.parties("local")) as region:
        limits = Path(f"/proc/{region.pid}/limits").read_text(encoding="ascii")
        (core,) = (line.split() for line in limits.splitlines() if line.startswith("Max core file size"))
        assert core[4:6] == ["0", "0"]
        # What is not dumpable belongs to root in /proc, whoever runs it.
        assert Path(f"/proc/{region.pid}/environ").stat().st_uid == 0
