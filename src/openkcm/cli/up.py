"""``openkcm up``: everything on this machine, until Ctrl-C."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import click
import msgspec

from openkcm.catalog.load import installed
from openkcm.cli._files import Files, operator_command
from openkcm.cli._stack import Stack, watched
from openkcm.embedded.state import default_state_directory
from openkcm.embedded.supervise import Supervisor
from openkcm.kernel.commands import command as shown
from openkcm.kernel.commands import commands_are_given_as
from openkcm.sdk.refusals import Permanent, Refusal, Remedy
from openkcm.settings import Settings, load_settings

_DIRECTORY, _SMTP = "tenants-directory", "notify-smtp"
_REGIONS_OWN = ("crypto.allowed_networks",)
"""What the region is told of what was set, beside what it is told here."""
_THIS_MACHINE = ("127.0.0.1", "localhost", "::1")


@click.command("up")
@click.option(
    "--state", type=click.Path(path_type=Path), help="Folder of all data; made when it is not there."
)
@click.option(
    "--manifests", type=click.Path(path_type=Path), help="Folder in which new accounts appear as manifests."
)
@click.option(
    "--smtp", metavar="HOST:PORT", help="Mail server for messages (settings: [plugins.notify-smtp])."
)
def command(state: Path | None, manifests: Path | None, smtp: str | None) -> None:
    """Start PostgreSQL, Valkey, the region 'local', the pages and the worker on this machine, until Ctrl-C.

    Nothing has to be set up first; a second start goes on with the same data.
    """
    began = time.monotonic()
    folder = (state or default_state_directory()).absolute()
    settings = _embedded_only(load_settings(embedded=True))
    commands_are_given_as(operator_command(settings, folder))
    asyncio.run(_run(folder, settings, manifests, smtp, began))


async def _run(
    folder: Path, settings: Settings, manifests: Path | None, smtp: str | None, began: float
) -> None:
    async with Supervisor(folder, report=_say) as supervisor:
        files = Files(folder)
        place = watched(settings, manifests, files)
        settings = with_plugins(settings, place, smtp)
        stack = Stack(supervisor, settings, report=_say)
        doors = await stack.start()
        url = settings.control.public_url or f"http://127.0.0.1:{doors.web}"
        addresses = {
            "web": url,
            "data": f"http://127.0.0.1:{doors.data}",
            "control": f"https://127.0.0.1:{doors.control}",
        }
        supervisor.publish(
            {**addresses, "manifests": str(place), "settings": str(files.settings("operator"))}
        )
        _say(f"OpenKCM is ready after {time.monotonic() - began:.1f} s.")
        _say(f"  Pages      {addresses['web']}")
        _say(f"  Data door  {addresses['data']}")
        _say(f"  Accounts   {_accounts(place)}")
        _say(f"  State      {folder}")
        for line in stack.left_out():
            _say(f"  Left out   {line}")
        _say(f"Sign in as an account's owner: {shown('tenants sign-in ID')}   (ids: {shown('tenants list')})")
        _say("Stop with Ctrl-C.")
        await supervisor.until_stopped()


def _accounts(place: Path) -> str:
    if any(plugin.name == _DIRECTORY for plugin in installed()):
        return f"appear as manifests in {place}"
    return f"are not seen: install the plugin with pip install openkcm-{_DIRECTORY}"


def with_plugins(settings: Settings, manifests: Path, smtp: str | None) -> Settings:
    """The settings with the watched folder and, where one is named, the mail server."""
    plugins = {name: dict(values) for name, values in settings.plugins.items()}
    plugins.setdefault(_DIRECTORY, {})["path"] = str(manifests)
    if smtp is not None:
        host, _, port = smtp.rpartition(":")
        if not host or not port.isdecimal():
            raise click.BadParameter("must be HOST:PORT", param_hint="--smtp")
        mail = plugins.setdefault(_SMTP, {})
        mail.update(host=host, port=port)
        mail.setdefault("from", settings.notices.operator or "OpenKCM <openkcm@localhost>")
        if host in _THIS_MACHINE:  # a catcher of mail beside us speaks no TLS
            mail.setdefault("security", "plain")
    return msgspec.structs.replace(settings, plugins=plugins)


def _embedded_only(settings: Settings) -> Settings:
    own = (
        "control.web_database",
        "control.worker_database",
        "control.owner_database",
        "control.redis",
        "crypto.",
    )
    given = [
        line
        for line in settings.shown
        if line.source != "default" and line.name.startswith(own) and line.name not in _REGIONS_OWN
    ]
    if given:
        raise Permanent(
            Refusal.SETTING_INVALID,
            f"'openkcm up' brings its own servers, but {given[0].name} is set (from {given[0].source}).",
            remedy=Remedy(
                "Unset it, or start the processes one by one: openkcm serve, work and crypto.",
                "operator",
                "reference/settings",
            ),
        )
    return settings


def _say(text: str) -> None:
    print(text, file=sys.stdout, flush=True)  # noqa: T201  # a terminal's line; whoever reads a pipe gets it at once
