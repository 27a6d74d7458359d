"""A database and the state directories that belong to it are one installation; another's is refused unchanged."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest

from openkcm.kernel.db import Role, transaction
from openkcm.kernel.installation import open_installation
from openkcm.kernel.migrate import check_schema, head, migrate
from openkcm.sdk.refusals import Permanent, Refusal
from tests.databases import ModuleDatabases

pytestmark = pytest.mark.integration


async def test_an_installation_is_made_once_and_an_empty_directory_becomes_its_own(
    control: ModuleDatabases, tmp_path: Path
) -> None:
    first = await open_installation(Role.SYSTEM, tmp_path)
    assert (len(first.id), first.epoch, first.timeline) == (32, 1, 1)
    assert await open_installation(Role.APP, tmp_path) == first
    assert await open_installation(Role.SYSTEM) == first
    assert [path.name for path in tmp_path.iterdir()] == ["installation"]


@pytest.mark.parametrize("kept", ["0" * 32, "", "\x00\xff<script>", "a\nb" * 100])
async def test_a_directory_of_another_installation_is_refused_and_left_alone(
    control: ModuleDatabases, tmp_path: Path, kept: str
) -> None:
    (tmp_path / "installation").write_text(kept)
    with pytest.raises(Permanent) as refused:
        await open_installation(Role.SYSTEM, tmp_path)
    assert refused.value.refusal is Refusal.DATABASE_FOREIGN
    assert refused.value.remedy is not None
    assert (tmp_path / "installation").read_text() == kept
    (tmp_path / "installation").unlink()
    await open_installation(Role.SYSTEM, tmp_path)


async def test_the_schema_of_this_release_is_accepted_an_older_or_newer_one_refused(
    control: ModuleDatabases,
) -> None:
    async def check() -> None:
        async with transaction(Role.APP) as tx:
            await check_schema(tx, name="control")

    await check()
    owner = await asyncpg.connect(control.control_owner)
    try:
        for version, refusal in (("9999", Refusal.SCHEMA_NEW), ("0000", Refusal.SCHEMA_OLD)):
            await owner.execute("update alembic_version set version_num = $1", version)
            with pytest.raises(Permanent) as refused:
                await check()
            assert refused.value.refusal is refusal
            assert refused.value.remedy is not None
            assert ("openkcm migrate" in refused.value.remedy.action) is (version == "0000")
        await owner.execute("update alembic_version set version_num = '9999'")
        with pytest.raises(Permanent) as refused:
            await migrate(control.control_owner, name="control")
        assert refused.value.refusal is Refusal.SCHEMA_NEW
    finally:
        await owner.execute("update alembic_version set version_num = $1", head("control"))
        await owner.close()
    assert not await migrate(control.control_owner, name="control")
    await check()
