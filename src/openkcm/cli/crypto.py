"""``openkcm crypto``: the Crypto Service of one region."""

from __future__ import annotations

import click
import uvloop

from openkcm.cli._enrol import enrol_option
from openkcm.crypto.app import serve_crypto
from openkcm.kernel.log import configure_logging
from openkcm.settings import load_settings, needed


@click.command("crypto")
@click.option(
    "--region", metavar="NAME", is_eager=True, help="The region's name; its settings must be this region's."
)
@enrol_option("region")
def command(region: str | None) -> None:
    """Serve a region's doors until SIGTERM: data for applications, control for the pages and the worker."""
    settings = load_settings()
    crypto = needed(settings.crypto, "crypto.region")
    if region is not None and crypto.region != region:
        raise click.BadParameter(f"these settings are region {crypto.region}'s", param_hint="--region")
    configure_logging(level=crypto.log_level, process=f"crypto-{crypto.region}")
    uvloop.run(serve_crypto(crypto, settings.parties, settings.plugins))
