"""How long ``openkcm up`` takes, and how much memory it holds when nothing happens."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx2

from tests.bench.figures import Figure, middle
from tests.bench.installed import Installed, home, installed
from tests.demo.processes import below

COLD_ROUNDS, WARM_ROUNDS = 3, 5
WARM_AIM_S, PSS_AIM_MIB = 5.0, 400.0
_IDLE_AFTER_S = 10.0


async def up() -> list[Figure]:
    """Cold: nothing there but what was installed. Warm: the same data again. Idle: ten seconds later."""
    cold: list[float] = []
    warm: list[float] = []
    idle: list[float] = []
    for _ in range(COLD_ROUNDS):
        async with home() as place:
            async with installed(place) as product:
                cold.append(product.up_s)
            for _ in range(-(-WARM_ROUNDS // COLD_ROUNDS)):
                async with installed(place) as product:
                    warm.append(product.up_s)
                    if len(warm) % 2:
                        await asyncio.sleep(_IDLE_AFTER_S)
                        idle.append(await pss_mib(product))
    return [
        Figure(name="up.ready_s", value=middle(warm), unit="s", aim=WARM_AIM_S, rounds=len(warm)),
        Figure(name="up.cold_s", value=middle(cold), unit="s", rounds=len(cold)),
        Figure(name="up.idle_pss_mib", value=middle(idle), unit="MiB", aim=PSS_AIM_MIB, rounds=len(idle)),
    ]


async def pss_mib(product: Installed) -> float:
    """Proportional memory of all processes; one that hides its own (the Crypto Service) reports it in its metrics."""
    kib = 0.0
    for process in below(product.product.pid):
        try:
            kib += _pss_kib(process.pid)
        except PermissionError:
            kib += await _reported_kib(product)
    return kib / 1024


def _pss_kib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Pss:"):
            return float(line.split()[1])
    return 0.0


async def _reported_kib(product: Installed) -> float:
    async with httpx2.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"{product.product.addresses['data']}/metrics")
    for line in answer.text.splitlines():
        if "pss_bytes" in line and not line.startswith("#"):
            return float(line.split()[-1]) / 1024
    raise LookupError("a process hides its memory and its metrics do not tell it (…pss_bytes)")
