"""The doctor says of each region whether it agrees with control: one that is ahead, cut off or silent is told apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from openkcm.cli._agreed import agreed
from openkcm.cli._reach import Finding
from openkcm.kernel.clock import SetClock
from openkcm.kernel.db import Role, transaction
from openkcm.parties.identity import Identity
from openkcm.propagation.deliver import deliver
from openkcm.sdk.refusals import Permanent, Refusal
from tests.databases import ModuleDatabases
from tests.propagation.parts import MemoryRegions, settled
from tests.propagation.test_decide import decided

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("control")]
DAY = timedelta(days=1)


@pytest.fixture
async def regions(clock: SetClock, control_identity: Identity) -> MemoryRegions:
    """A tenant's document is in both of its regions, since long ago."""
    made = MemoryRegions("local", "eu-1")
    await settled(clock)
    await decided(control_identity, clock)
    await deliver(made, "acme", clock=clock)
    return made


async def ago(**regions: timedelta) -> None:
    """So long ago control agreed with each region; before that each applied the document."""
    async with transaction(Role.SYSTEM) as tx:
        await tx.execute("update observed set acknowledged_at = now() - interval '2 days'")
        for name, since in regions.items():
            await tx.execute(
                "insert into agreements (region, agreed_at) values ($1, $2)",
                name.replace("_", "-"),
                datetime.now(UTC) - since,
            )


def told(found: Sequence[Finding]) -> Callable[[str], list[tuple[str, str]]]:
    return lambda region: [(each.level, each.said) for each in found if each.about.endswith(region)]


async def test_a_region_that_agreed_just_now_is_well_and_one_beyond_every_window_is_cut_off(
    databases: ModuleDatabases, regions: MemoryRegions
) -> None:
    del regions
    await ago(local=timedelta(seconds=5), eu_1=DAY + timedelta(minutes=1))
    of = told(await agreed(databases.worker))
    assert [level for level, _ in of("local")] == ["ok"]
    ((level, said),) = of("eu-1")
    assert (level, "It is cut off" in said, "of 1\u00a0tenant are not used there" in said) == (
        "bad",
        True,
        True,
    )


async def test_a_silent_region_goes_on_until_its_window_is_over(
    databases: ModuleDatabases, regions: MemoryRegions
) -> None:
    del regions
    await ago(local=timedelta(minutes=5), eu_1=DAY)
    of = told(await agreed(databases.worker))
    for region in (
        "local",
        "eu-1",
    ):  # the region may have heard an agreement whose answer was lost: 30 s more
        ((level, said),) = of(region)
        assert (level, "It goes on until" in said) == ("warn", True)


async def test_a_region_that_is_ahead_is_named_with_one_of_its_tenants(
    databases: ModuleDatabases, regions: MemoryRegions, clock: SetClock, control_identity: Identity
) -> None:
    await ago(local=timedelta(seconds=5), eu_1=timedelta(seconds=5))
    regions["eu-1"].failure = Permanent(Refusal.GENERATION_OLD, "It holds a newer one.")
    await decided(control_identity, clock)
    with pytest.raises(Permanent):
        await deliver(regions, "acme", clock=clock)
    of = told(await agreed(databases.worker))
    ((level, said),) = of("eu-1")
    assert (level, "It is ahead" in said, "(acme)" in said) == ("bad", True, True)
    assert [level for level, _ in of("local")] == ["ok"]


async def test_a_region_that_never_agreed_is_said_to_be_waited_for(
    databases: ModuleDatabases, regions: MemoryRegions
) -> None:
    del regions
    of = told(await agreed(databases.worker))
    assert of("local") == [("warn", "It has not agreed with control yet.")]
