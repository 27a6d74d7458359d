"""What the commands of the audit log share: regions to ask, pins to believe by, files to read and write."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import click

from openkcm.cli._operator import unread
from openkcm.crypto.client import PinnedRegions
from openkcm.crypto.contract import Regions, SignedCheckpoint
from openkcm.kernel.db import Role, transaction
from openkcm.parties.checkpoint import Checkpoint, read_checkpoint
from openkcm.parties.identity import load_identity
from openkcm.parties.settings import read_pins
from openkcm.sdk.refusals import Permanent, Refusal, Remedy
from openkcm.settings import Settings, needed
from openkcm.uses.export import any_checkpoint, checkpoints_of, log_rows, use_rows
from openkcm.uses.kept import first_after, kept_of, log_end
from openkcm.uses.prover import Proof, Prover, Reading
from openkcm.uses.rows import MOST_CHARACTERS, Form, Row, head_of, read, written
from openkcm.uses.stored import region_set


@asynccontextmanager
async def dialled(settings: Settings) -> AsyncIterator[Regions]:
    """The regions that control may dial, until the end."""
    identity = load_identity(Path(needed(settings.parties.identity, "parties.identity")))
    regions = PinnedRegions(identity, read_pins(settings.parties.pins), settings.control.regions)
    try:
        yield regions
    finally:
        await regions.aclose()


def reading_with(settings: Settings) -> Reading:
    """Believes checkpoints by the pins of these settings alone."""
    pins = read_pins(settings.parties.pins)

    def reading(signed: SignedCheckpoint, tenant: str) -> Checkpoint:
        return read_checkpoint(pins, signed, tenant=tenant, now=datetime.now(UTC))

    return reading


async def exported_uses(
    settings: Settings, tenant: str, since: datetime | None, until: datetime | None
) -> AsyncIterator[Row]:
    """The tenant's uses in all regions of its set."""
    at, signed = datetime.now(UTC), {}
    async with dialled(settings) as regions:
        async with transaction(Role.SYSTEM) as tx:
            kept, _ = await kept_of(tx, tenant, reading_with(settings))
        names = known(await region_set(Role.SYSTEM, tenant), tenant)
        fresh = []
        for name in names:
            found = first_after(kept, name, until) if until else None
            if found is None:
                fresh.append(name)
            else:
                signed[name] = found
        signed |= await checkpoints_of(regions, tenant, fresh)
        async for row in use_rows(regions, tenant, signed, at=at, since=since, until=until):
            yield row


async def exported_config(settings: Settings, tenant: str) -> AsyncIterator[Row]:
    """The tenant's own log, with a checkpoint over its end by a region of its set."""
    async with dialled(settings) as regions:
        names = known(await region_set(Role.SYSTEM, tenant), tenant)
        async with transaction(Role.SYSTEM) as tx:
            end = await log_end(tx, tenant)
        if end is None:
            raise unknown(tenant)
        signed = await any_checkpoint(regions, tenant, names, end)
        async for row in log_rows(Role.SYSTEM, tenant, signed, end, at=datetime.now(UTC)):
            yield row


async def write_rows(rows: AsyncIterator[Row], form: Form, write: Callable[[str], object]) -> int:
    """Every row is written as it comes; how many entries there were."""
    write(head_of(form))
    entries = 0
    async for row in rows:
        write(written(row, form))
        entries += row.kind == "entry"
    return entries


def proven_file(path: Path, reading: Reading) -> Proof:
    """What an export proves.

    Raises:
        Permanent: BAD_REQUEST; the file cannot be read as one.
    """
    prover = Prover(reading)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in read(_lines(file, path)):
                prover.take(row)
    except (OSError, UnicodeDecodeError) as failed:
        raise Permanent(
            Refusal.BAD_REQUEST,
            f"The file {path} {unread(failed)}.",
            remedy=Remedy("Name the file that was exported.", "operator", "reference/audit#export"),
        ) from failed
    return prover.done()


def known(names: object, tenant: str) -> list[str]:
    """The regions of a tenant that there is. Raises ``Permanent``: TENANT_UNKNOWN."""
    if isinstance(names, list) and names:
        return names
    raise unknown(tenant)


def unknown(tenant: str) -> Permanent:
    """The refusal of a tenant that control does not know, or that is in no region."""
    return Permanent(
        Refusal.TENANT_UNKNOWN,
        f"There is no tenant '{tenant}' with regions.",
        remedy=Remedy("'openkcm tenants list' shows the ids.", "operator", "reference/cli"),
    )


def moment(_context: click.Context, _option: click.Parameter, given: str | None) -> datetime | None:
    """The time that an option names: ISO 8601, UTC where it names no zone."""
    if given is None:
        return None
    try:
        at = datetime.fromisoformat(given)
    except ValueError:
        raise click.BadParameter("a time as 2026-11-24 or 2026-11-24T13:00:00Z") from None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def _lines(file: TextIO, path: Path) -> Iterator[str]:
    while line := file.readline(MOST_CHARACTERS):
        if len(line) == MOST_CHARACTERS:
            raise Permanent(
                Refusal.TOO_LARGE,
                f"A line of {path} is longer than any of an export.",
                remedy=Remedy("Name the file that was exported.", "operator", "reference/audit#export"),
            )
        yield line
