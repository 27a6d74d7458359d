"""``openkcm migrate``: a database gets this version's schema."""

from __future__ import annotations

import asyncio
from urllib.parse import unquote, urlsplit

import click

from openkcm.kernel.migrate import head, migrate
from openkcm.settings import load_settings, needed


@click.command("migrate")
@click.option("--region", metavar="NAME", help="The region's database instead of control's.")
def command(region: str | None) -> None:
    """Bring control's database (or, with --region, a region's) to this version's schema. Safe to repeat.

    Uses control.owner_database, or crypto.owner_database of that region's own settings.
    """
    settings = load_settings()
    if region is None:
        done = asyncio.run(
            migrate(needed(settings.control.owner_database, "control.owner_database"), name="control")
        )
        what = "control"
    else:
        crypto = needed(settings.crypto, "crypto.region")
        if crypto.region != region:
            raise click.BadParameter(f"these settings are region {crypto.region}'s", param_hint="--region")
        owner = needed(crypto.owner_database, "crypto.owner_database")
        login = unquote(urlsplit(crypto.database).username or "")
        done = asyncio.run(migrate(owner, name="crypto", login=login))
        what = "crypto"
    click.echo(f"The {what} database {'now has' if done else 'already had'} schema {head(what)}.")
