"""How long a new account takes: one alone, and a thousand at once."""

from __future__ import annotations

import asyncio

from tests.bench.bare_sagas import SAGAS, STATED_S, bare_sagas
from tests.bench.figures import Figure, middle, percentile, relaxed
from tests.bench.installed import Installed, Watch, drop_many, drop_one, home, installed, watching

SAMPLES = 40
WARM_UP = 3
ROUNDS = 3
ONE_AIM_S, BURST_AIM_S = 2.0, 15.0


async def enable() -> list[Figure]:
    """Rounds of one after the other, of bare sagas, and of a thousand at once, taken in turn."""
    one: list[float] = []
    bare: list[float] = []
    burst: list[float] = []
    told: list[float] = []
    async with (
        bare_sagas() as reference,
        home() as place,
        installed(place) as product,
        watching(product) as watch,
    ):
        for _ in range(WARM_UP):
            await _one(product, watch)
        await reference.run()
        for number in range(ROUNDS):
            samples = SAMPLES // ROUNDS + (number < SAMPLES % ROUNDS)
            one += [await _one(product, watch) for _ in range(samples)]
            bare.append(await reference.run())
            ready_s, told_s = await _burst(product, watch)
            burst.append(ready_s)
            told.append(told_s)
    return _figures(one, bare, burst, told)


async def _one(product: Installed, watch: Watch) -> float:
    account, began = drop_one(product.place)
    seconds = await watch.ready_s(account, began)
    await watch.all_told_s([account], began)
    await asyncio.sleep(0.05)  # not in step with any clock of the product
    return seconds


async def _burst(product: Installed, watch: Watch) -> tuple[float, float]:
    accounts, began = drop_many(product.place, SAGAS)
    ready_s = await watch.all_ready_s(accounts, began)
    return ready_s, await watch.all_told_s(accounts, began)


def _figures(one: list[float], bare: list[float], burst: list[float], told: list[float]) -> list[Figure]:
    reference_s = middle(bare)
    aim = {
        "one": relaxed(ONE_AIM_S, reference=reference_s, stated=STATED_S),
        "burst": relaxed(BURST_AIM_S, reference=reference_s, stated=STATED_S),
    }
    return [
        Figure(
            name="enable.one.ready_p50_s",
            value=percentile(one, 50),
            unit="s",
            reference=reference_s,
            rounds=len(one),
        ),
        Figure(
            name="enable.one.ready_p99_s",
            value=percentile(one, 99),
            unit="s",
            reference=reference_s,
            aim=aim["one"],
            rounds=len(one),
        ),
        Figure(
            name="enable.burst_1000.all_ready_s",
            value=middle(burst),
            unit="s",
            reference=reference_s,
            aim=aim["burst"],
            rounds=len(burst),
        ),
        Figure(
            name="enable.burst_1000.tenants_per_s",
            value=SAGAS / middle(burst),
            unit="1/s",
            reference=SAGAS / reference_s,
            rounds=len(burst),
        ),
        Figure(
            name="enable.burst_1000.all_told_s",
            value=middle(told),
            unit="s",
            reference=reference_s,
            rounds=len(told),
        ),
    ]
