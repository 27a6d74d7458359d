"""``python -m tests.bench``: the figures; run by ``nox -s bench -- --json FILE [--only PREFIX]``."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from tests.bench.crypto import crypto
from tests.bench.enable import enable
from tests.bench.figures import Figure
from tests.bench.machine import machine
from tests.bench.sdk import sdk
from tests.bench.up import up
from tests.demo.failed import DemoFailed

Group = Callable[[], Awaitable[list[Figure]]]
GROUPS: Mapping[str, Group] = {"sdk.": sdk, "crypto.": crypto, "up.": up, "enable.": enable}


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


async def measure(only: str) -> list[Figure]:
    """Every figure whose name begins with ``only``, printed as it comes."""
    figures: list[Figure] = []
    for group in chosen(only):
        for figure in await group():
            if figure.name.startswith(only):
                figures.append(figure)
                print(line(figure), flush=True)
    return figures


def main(arguments: Sequence[str]) -> int:
    """0 when every aim was met."""
    parser = argparse.ArgumentParser(prog="nox -s bench --", description="The figures.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    parser.add_argument("--only", default="", metavar="PREFIX", help="only figures whose names begin so")
    given = parser.parse_args(arguments)
    if not chosen(given.only):
        parser.error(f"no figure begins with {given.only}; groups are {', '.join(GROUPS)}")
    try:
        figures = asyncio.run(measure(given.only))
    except DemoFailed as failed:
        print(failed, file=sys.stderr)
        return 1
    if given.json is not None:
        content = {"machine": machine(), "figures": [figure.as_json() for figure in figures]}
        given.json.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    missed = [figure.name for figure in figures if not figure.met]
    if missed:
        print(f"Not met: {', '.join(missed)}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
