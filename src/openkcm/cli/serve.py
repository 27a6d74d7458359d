"""``openkcm serve``: control's web process."""

from __future__ import annotations

import click
import uvloop

from openkcm.app import serve_web
from openkcm.cli._enrol import enrol_option
from openkcm.kernel.log import configure_logging
from openkcm.settings import load_settings


@click.command("serve")
@enrol_option("control")
def command() -> None:
    """Serve the pages until SIGTERM. Logs are JSON lines on stderr."""
    settings = load_settings()
    configure_logging(level=settings.control.log_level, process="web")
    uvloop.run(serve_web(settings))
