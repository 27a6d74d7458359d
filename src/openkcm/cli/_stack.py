"""The whole product on one machine, put together: servers, databases, then our own processes side by side."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import cast

import asyncpg

from openkcm.cli._files import REGION, Doors, Files, write_settings
from openkcm.cli._left_out import read_left_out
from openkcm.embedded.databases import Databases, prepare_databases
from openkcm.embedded.files import make_directory
from openkcm.embedded.ports import Port, is_free, pick_port
from openkcm.embedded.postgres import RunningPostgres
from openkcm.embedded.roles import DatabasePlan
from openkcm.embedded.services import ChildSpec, PostgresService, ValkeyService, answers_http
from openkcm.embedded.state import run_directory
from openkcm.embedded.supervise import Supervisor
from openkcm.embedded.valkey import RunningValkey
from openkcm.embedded.words import last_words
from openkcm.kernel.db import Transaction
from openkcm.kernel.migrate import check_schema
from openkcm.sdk.refusals import Permanent, Refusal, Refused, Remedy
from openkcm.settings import Settings

_LOCAL = "127.0.0.1"
_DATA, _CONTROL = 8081, 8082


class Stack:
    """What runs below one supervisor. ``start`` once, inside the supervisor's block."""

    def __init__(self, supervisor: Supervisor, settings: Settings, *, report: Callable[[str], None]) -> None:
        self.files = Files(supervisor.state.path)
        self._supervisor = supervisor
        self._settings = settings
        self._report = report
        self._ready_file = supervisor.state.path / "worker.ready"
        self._ports: tuple[Port, ...] = ()  # held: another start must not come between choosing and listening

    async def start(self) -> Doors:
        """Every process is ready; returns where the doors are.

        Raises:
            Refused: whatever kept a process from its start, in that process's words.
        """
        state = self._supervisor.state.path
        doors = self._doors()
        self.files.make()
        control, region = await asyncio.to_thread(self.files.identities)
        run = run_directory(state)
        postgres, valkey = await asyncio.gather(
            self._supervisor.start(PostgresService(state=state, run=run)),
            self._supervisor.start(ValkeyService(state=state, run=run)),
        )
        plan = DatabasePlan(regions=(REGION,))
        databases = await self._supervisor.unless_stopped(
            prepare_databases(
                cast("RunningPostgres", postgres).server,
                plan,
                secrets_file=self._supervisor.state.database_secrets,
            )
        )
        write_settings(
            self.files,
            self._settings,
            databases,
            doors,
            (control.pin, region.pin),
            redis=cast("RunningValkey", valkey).url,
        )
        await self._supervisor.unless_stopped(self._migrated(databases))
        await asyncio.gather(
            *(
                self._supervisor.start(child)
                for child in (
                    self._child("crypto", ("crypto", "--region", REGION), _answers(doors.data)),
                    self._child("web", ("serve",), _answers(doors.web)),
                    self._worker(),
                )
            )
        )
        return doors

    def left_out(self) -> Sequence[str]:
        """One line for each plugin that the worker goes on without, once all is started."""
        return read_left_out(self._ready_file)

    def _doors(self) -> Doors:
        """Free ports; the usual ones where they are free. A port that was asked for is not exchanged for another."""
        web = _bind(self._settings.web.bind)
        asked = any(line.name == "web.bind" and line.source != "default" for line in self._settings.shown)
        if asked and not is_free(web):
            raise Permanent(
                Refusal.PORT_TAKEN,
                f"Something else listens on port {web}, which web.bind asks for.",
                remedy=Remedy("End it, or set another port.", "operator", "reference/settings"),
            )
        pages = pick_port("the web interface", web)
        data = pick_port("the data door", _DATA, taken={pages.number})
        control = pick_port("the control door", _CONTROL, taken={pages.number, data.number})
        self._ports = (pages, data, control)
        for port in self._ports:
            self._say(port)
        return Doors(web=pages.number, data=data.number, control=control.number)

    def _say(self, port: Port) -> None:
        if port.note:
            self._report(port.note)

    async def _migrated(self, databases: Databases) -> None:
        """Both databases have this version's schema; Alembic is loaded, in children, only where something is to do."""
        await asyncio.gather(
            self._migrate("control", databases.control_owner, "operator", (), {}),
            self._migrate(
                "crypto",
                databases.crypto_owner(REGION),
                "crypto",
                ("--region", REGION),
                {"OPENKCM_CRYPTO__OWNER_DATABASE": databases.crypto_owner(REGION)},
            ),
        )

    async def _migrate(
        self, name: str, dsn: str, settings: str, arguments: tuple[str, ...], env: dict[str, str]
    ) -> None:
        if await _current(dsn, name):
            return
        process = await asyncio.create_subprocess_exec(
            *_openkcm("migrate", *arguments),
            env={"OPENKCM_CONFIG": str(self.files.settings(settings)), **env},
            cwd="/",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            _, said = await process.communicate()
        finally:
            if process.returncode is None:  # a stop was asked for meanwhile
                process.kill()
                await process.wait()
        if process.returncode:
            last = last_words(said.decode("utf-8", "replace"))
            raise Permanent(
                last.refusal,
                f"The {name} database could not be migrated. {last.text}".rstrip(),
                remedy=last.remedy
                or Remedy("Start again; the data is as it was.", "operator", "operate/migrate"),
            )

    def _worker(self) -> ChildSpec:
        ready = self._ready_file
        ready.unlink(missing_ok=True)

        async def check() -> bool:
            return ready.exists()

        return self._child("worker", ("work", "--ready-file", str(ready)), check)

    def _child(
        self, name: str, arguments: tuple[str, ...], ready: Callable[[], Awaitable[bool]]
    ) -> ChildSpec:
        return ChildSpec(
            name=name,
            argv=tuple(_openkcm(*arguments)),
            log=self._supervisor.state.logs / f"{name}.log",
            ready_check=ready,
            env={"OPENKCM_CONFIG": str(self.files.settings(name))},
            grace_s=15.0,
        )


async def _current(dsn: str, name: str) -> bool:
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        await check_schema(cast("Transaction", connection), name=name)
    except Refused as refused:
        if refused.refusal is Refusal.SCHEMA_OLD:
            return False
        raise
    else:
        return True
    finally:
        await connection.close()


def _answers(port: int) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return await answers_http(_LOCAL, port)

    return check


def _openkcm(*arguments: str) -> list[str]:
    # -I: nothing of the caller's directory or environment decides what is imported.
    return [sys.executable, "-I", "-m", "openkcm", *arguments]


def _bind(text: str) -> int:
    host, _, port = text.rpartition(":")
    if host not in (_LOCAL, "localhost") or not port.isdecimal() or not 0 < int(port) < 65536:
        raise Permanent(
            Refusal.SETTING_INVALID,
            f"web.bind is {text}; 'openkcm up' serves on 127.0.0.1 alone.",
            remedy=Remedy(
                "Set 127.0.0.1 and a port, or run 'openkcm serve' with TLS.", "operator", "reference/settings"
            ),
        )
    return int(port)


def watched(settings: Settings, given: Path | None, files: Files) -> Path:
    """The folder of manifests: the named one, else that of the settings, else one below the state directory."""
    named = settings.plugins.get("tenants-directory", {}).get("path")
    folder = given.absolute() if given else Path(named) if named else files.manifests
    if not folder.is_dir():
        make_directory(folder, 0o700)
    return folder
