"""Control's database with a worker that ends tenants, two regions with identities, and a source."""

from __future__ import annotations

from pathlib import Path

import pytest

from openkcm.ending.means import Means
from openkcm.kernel.clock import SetClock
from openkcm.parties.identity import Identity, enrol
from openkcm.parties.pins import Pins
from openkcm.sdk.testing.memory_source import MemorySource
from tests.databases import ModuleDatabases
from tests.ending.parts import OPERATOR, CountingRegion, CountingRegions, Worker


@pytest.fixture(scope="session")
def region_identities(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Identity]:
    folder: Path = tmp_path_factory.mktemp("regions")
    folder.chmod(0o700)
    return {name: enrol(folder / f"{name}.json", name, "region") for name in ("local", "eu-1")}


@pytest.fixture
def worker(
    control: ModuleDatabases,
    clock: SetClock,
    control_identity: Identity,
    region_identities: dict[str, Identity],
) -> Worker:
    regions = CountingRegions(
        *(
            CountingRegion(name=name, identity=identity, clock=clock)
            for name, identity in region_identities.items()
        )
    )
    source = MemorySource()
    means = Means(
        regions=regions,
        identity=control_identity,
        pins=Pins([control_identity.pin, *(identity.pin for identity in region_identities.values())]),
        clock=clock,
        sources={"memory": source},
        public_url="https://keys.example/",
        operator=OPERATOR,
    )
    return Worker(means, regions, source, clock)
