"""``python -m tests.bench``: the figures; run by ``nox -s bench -- --json FILE [--only PREFIX]``."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from tests.bench.crypto import batch, scale, single, single_tls, tenants
from tests.bench.enable import enable
from tests.bench.figures import Figure
from tests.bench.kcp import kcp
from tests.bench.machine import machine
from tests.bench.own_root import cached, cold_first, lease_restart
from tests.bench.revoke import revoke
from tests.bench.sdk import sdk
from tests.bench.up import up
from tests.demo.failed import DemoFailed


class Group(Protocol):
    """A function that measures some figures which belong together."""

    __name__: str

    async def __call__(self) -> list[Figure]:
        """The figures."""
        ...


GROUPS: Mapping[str, Group] = {
    "sdk.": sdk,
    "crypto.single.": single,
    "crypto.single_tls.": single_tls,
    "crypto.batch_": batch,
    "crypto.scale_2": scale,
    "crypto.tenants_": tenants,
    "crypto.revoke": revoke,
    "crypto.cold_first_ms": cold_first,
    "crypto.lease_restart_s": lease_restart,
    "crypto.cached_10000_mib": cached,
    "up.": up,
    "enable.": enable,
    "kcp.": kcp,
}


def chosen(only: str) -> list[Group]:
    """The groups that have figures whose names begin so."""
    return [group for prefix, group in GROUPS.items() if prefix.startswith(only) or only.startswith(prefix)]


def line(figure: Figure) -> str:
    """A figure for a person."""
    aim = "" if figure.aim is None else f"aim {'≥' if figure.at_least else '≤'} {figure.aim:.4g}"
    met = "" if figure.aim is None else ("met" if figure.met else "MISSED")
    reference = "" if figure.reference is None else f"reference {figure.reference:.4g}"
    return (
        f"  {figure.name:<36} {figure.value:>10.4g} {figure.unit:<6} {aim:<12} {met:<7} {reference}".rstrip()
    )


async def measure(only: str) -> tuple[list[Figure], list[str]]:
    """Every figure whose name begins with ``only``, printed as it comes; and what could not be measured."""
    figures: list[Figure] = []
    failures: list[str] = []
    for group in chosen(only):
        try:
            found = [figure for figure in await group() if figure.name.startswith(only)]
        except (DemoFailed, TimeoutError) as failed:
            failures.append(f"{group.__name__}: {str(failed) or 'took too long'}")
            continue
        for figure in found:
            figures.append(figure)
            print(line(figure), flush=True)
    return figures, failures


def main(arguments: Sequence[str]) -> int:
    """0 when every aim was met."""
    parser = argparse.ArgumentParser(prog="nox -s bench --", description="The figures.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    parser.add_argument("--only", default="", metavar="PREFIX", help="only figures whose names begin so")
    given = parser.parse_args(arguments)
    if not chosen(given.only):
        parser.error(f"no figure begins with {given.only}; groups are {', '.join(GROUPS)}")
    figures, failures = asyncio.run(measure(given.only))
    if given.json is not None:
        content = {"machine": machine(), "figures": [figure.as_json() for figure in figures]}
        given.json.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    missed = [figure.name for figure in figures if not figure.met]
    if missed:
        print(f"Not met: {', '.join(missed)}", file=sys.stderr)
    for failure in failures:
        print(f"Not measured: {failure}", file=sys.stderr)
    return 1 if missed or failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
