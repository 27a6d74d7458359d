"""What the operator's commands share: control's settings, its database, and who is asking."""

from __future__ import annotations

import asyncio
import getpass
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
from arq.connections import RedisSettings

from openkcm.cli._files import Files, elsewhere, stopped_state
from openkcm.embedded.state import default_state_directory
from openkcm.kernel import queue
from openkcm.kernel.commands import command, commands_are_given_as
from openkcm.kernel.db import close_database, open_database
from openkcm.kernel.log import configure_logging
from openkcm.sdk.refusals import Permanent, Refusal, Refused, Remedy, Temporary
from openkcm.settings import FILE_VARIABLE, Settings, load_settings, needed

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


def state_option(of: F) -> F:
    """The option ``--state``: whose installation is meant, where it is one that 'openkcm up' started."""
    return click.option(
        "--state",
        type=click.Path(path_type=Path),
        help="State directory of 'openkcm up'. Without it: the settings, else the usual state directory.",
    )(of)


def json_option(of: F) -> F:
    """The option ``--json``: one JSON document on stdout, for a script."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(of)


def operator_settings(state: Path | None) -> Settings:
    """Control's settings: of the named state directory, else the process's own, else of the usual state directory.

    What is said from now on shows commands that work on the same installation.

    Raises:
        Permanent: SETTING_MISSING; there is no installation below the state directory.
    """
    settings = _operator_settings(state)
    commands_are_given_as(settings.control.operator_command)
    return settings


def plugin_settings(state: Path | None) -> Mapping[str, Mapping[str, str]]:
    """What plugins are set to, or nothing where there is no installation yet."""
    try:
        return operator_settings(state).plugins
    except Permanent as refused:
        if refused.refusal is Refusal.SETTING_MISSING and state is None:
            return {}
        raise


def _operator_settings(state: Path | None) -> Settings:
    if state is None and elsewhere():
        return load_settings()
    file = Files((state or default_state_directory()).absolute()).settings("operator")
    if not file.exists():
        raise Permanent(
            Refusal.SETTING_MISSING,
            f"There is no installation of 'openkcm up' below {file.parents[1]}.",
            remedy=Remedy(
                f"Name its folder with --state, or control's settings file in {FILE_VARIABLE}.",
                "operator",
                "reference/settings",
            ),
        )
    return load_settings(file=file)


def run_on_control(settings: Settings, work: Coroutine[Any, Any, T]) -> T:
    """The work's result, done with control's database open, with the worker's login."""
    configure_logging(level="ERROR", process="cli")

    async def within() -> T:
        async with _database(settings):
            return await work

    try:
        return asyncio.run(within())
    except Refused as refused:
        if refused.refusal is Refusal.DATABASE_UNAVAILABLE:
            raise _no_database(settings) from refused
        raise
    finally:
        work.close()


def _no_database(settings: Settings) -> Refused:
    """The same in words for a command, which is given once and asks nothing again."""
    state = stopped_state(settings)
    if state is not None:
        return Permanent(
            Refusal.DATABASE_UNAVAILABLE,
            f"'openkcm up' is not running on {state}, and its database runs only with it.",
            remedy=Remedy(
                f"Start it with '{command('up')}', then give the command again.", "operator", "reference/cli"
            ),
        )
    return Temporary(
        Refusal.DATABASE_UNAVAILABLE,
        "The database does not answer, and a command does not ask it again.",
        remedy=Remedy(
            f"'{command('doctor')}' tells what is wrong. Then give the command again.",
            "operator",
            "operate/database",
        ),
    )


@asynccontextmanager
async def _database(settings: Settings) -> Any:  # noqa: ANN401  # contextlib's own type would name the generator
    dsn = needed(settings.control.worker_database, "control.worker_database")
    await open_database(dsn, application="openkcm-cli", max_size=2)
    try:
        # A worker hears at once of what a command asks for; without Redis its sweep finds it some seconds later.
        async with queue.waking(RedisSettings.from_dsn(settings.control.redis)):
            yield
    finally:
        await close_database()


def actor() -> str:
    """How the audit names who runs this command."""
    try:
        return f"operator:{getpass.getuser()}"
    except (KeyError, OSError):
        return f"operator:uid-{os.getuid()}"


def unread(failed: OSError | UnicodeDecodeError) -> str:
    """Why a file could not be read as text, to stand behind its name."""
    if isinstance(failed, UnicodeDecodeError):
        return "is not text"
    return "is not there" if isinstance(failed, FileNotFoundError) else "cannot be read"


def print_json(document: object) -> None:
    """One JSON document on stdout."""
    click.echo(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())


def print_json_line(document: object) -> None:
    """One line of JSON on stdout, at once."""
    click.echo(msgspec.json.encode(document))  # echo flushes


def print_table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Columns as wide as their widest cell; the last one is not filled."""
    widths = [max(len(row[at]) for row in [head, *rows]) for at in range(len(head))]
    for row in [head, *rows]:
        cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)]
        click.echo("  ".join([*cells, row[-1]]))
