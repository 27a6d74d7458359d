"""``openkcm work``: control's worker process."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from pathlib import Path

import click
import uvloop

from openkcm.catalog.registry import Broken
from openkcm.cli._left_out import write_ready
from openkcm.kernel.log import configure_logging
from openkcm.settings import Settings, load_settings
from openkcm.worker import run_worker


@click.command("work")
@click.option(
    "--ready-file",
    type=click.Path(path_type=Path),
    help="A file that is there while everything of this process is open; for whoever supervises it.",
)
def command(ready_file: Path | None) -> None:
    """Provision, propagate and notify until SIGTERM. Several may run side by side."""
    settings = load_settings()
    configure_logging(level=settings.control.log_level, process="worker")
    try:
        uvloop.run(_until_asked(settings, ready_file))
    finally:
        if ready_file is not None:
            ready_file.unlink(missing_ok=True)


async def _until_asked(settings: Settings, ready_file: Path | None) -> None:
    def ready(broken: Sequence[Broken]) -> None:
        if ready_file is not None:
            write_ready(ready_file, broken)

    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for which in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(which, stop.set)
    working, asked = asyncio.create_task(run_worker(settings, ready=ready)), asyncio.create_task(stop.wait())
    await asyncio.wait((working, asked), return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    working.cancel()
    ended = await asyncio.gather(working, asked, return_exceptions=True)
    for error in ended:
        if isinstance(error, BaseException) and not isinstance(error, asyncio.CancelledError):
            raise error
