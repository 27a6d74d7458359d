"""A whole installation of two regions as processes of a test: real databases, queue, mail server, mTLS and folder.

``with running_site(...) as site`` gives it to a module. Its processes: ``local`` and ``eu-1`` (``openkcm crypto``),
``web`` (``openkcm serve``), ``worker`` and ``worker-2`` (``openkcm work``).
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
from aiosmtpd.smtp import SMTP, Envelope, Session

from openkcm.cli._files import table
from openkcm.embedded.files import make_directory, remove_tree, write_private
from openkcm.embedded.roles import crypto_database
from openkcm.kernel.db import close_database, open_database
from openkcm.parties.identity import Identity, enrol
from openkcm.parties.settings import pin_toml
from openkcm.sdk.conformance.notifier import Received
from openkcm.sdk.testing.mail_server import MailServer, Post, make_paper
from tests.crypto.processes import free_port, memory_plugin
from tests.databases import REGIONS, ModuleDatabases, short_directory
from tests.provisioning.accounts import Account
from tests.provisioning.loop import Loop
from tests.provisioning.processes import Child, until

OPERATOR = "operator@platform.example"
LEASE_S = 1.5
Row = dict[str, Any]


@dataclass
class WatchedPost(Post):
    """A mail server that does something more between taking a mail and saying so."""

    taking: Callable[[], Awaitable[None]] | None = None

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd calls it so
        answer = await super().handle_DATA(server, session, envelope)
        if self.taking is not None:
            await self.taking()
        return answer


@dataclass
class Site:
    """The installation. Nothing runs before ``start``."""

    databases: ModuleDatabases
    home: Path
    loop: Loop
    mail: MailServer
    children: dict[str, Child] = field(default_factory=dict)
    public_url: str = ""
    announced: Mapping[str, str] = field(default_factory=dict)
    _reading: dict[str, asyncpg.Connection[asyncpg.Record]] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.home / "manifests"

    def start(self, *names: str) -> None:
        """These processes do their work now."""
        for name in names:
            self.children[name].launch()
        for name in names:
            self.children[name].ready()

    def announce(self, directory: Path) -> None:
        """Every process finds the reference key store, whose system keeps its keys in this folder."""
        self.announced = {"PYTHONPATH": str(Path(__file__).parents[1] / "announced")}
        given = table("plugins.keystore-memory", memory_plugin(directory)["keystore_memory"])
        for child in self.children.values():
            child.extra, child.isolated = {**child.extra, **self.announced}, False
            child.settings.write_text(f"{child.settings.read_text()}\n{given}")

    def kill(self, name: str) -> None:
        self.children[name].kill()

    def stop(self, name: str) -> None:
        self.children[name].stop()

    def whole(self, *names: str) -> None:
        """These run, whatever a test before this one has ended."""
        self.start(*(name for name in names if not self.children[name].runs))

    def account(self, **given: Any) -> Account:  # noqa: ANN401 - as Account has them
        """A new account's manifest is in the folder."""
        made = Account(folder=self.folder, **given)
        if "creator" not in given:
            made = Account(folder=self.folder, id=made.id, creator=f"{made.id}@meridian.example")
        return made.drop()

    def rows(self, sql: str, *values: object, database: str = "cmk") -> list[Row]:
        """What stands in a database, seen by its superuser; ``database`` is ``cmk`` or a region's name."""
        return self.loop.run(self._fetch(database, sql, values))

    async def _fetch(self, database: str, sql: str, values: Sequence[object]) -> list[Row]:
        connection = self._reading.get(database)
        if connection is None or connection.is_closed():
            connection = self._reading[database] = await self.connect(database)
        return [dict(row) for row in await connection.fetch(sql, *values)]

    async def forget(self) -> None:
        """The next look at a database connects anew, as soon as it answers."""
        await self.close()
        for _ in range(400):
            try:
                await (await self.connect()).close()
            except (OSError, asyncpg.PostgresError):
                await asyncio.sleep(0.05)
            else:
                return

    async def close(self) -> None:
        """Nothing of ours is connected."""
        for connection in self._reading.values():
            connection.terminate()
        self._reading.clear()

    async def connect(self, database: str = "cmk") -> asyncpg.Connection[asyncpg.Record]:
        name = database if database == "cmk" else crypto_database(database)
        return await asyncpg.connect(self.databases.superuser(name))

    def one(self, sql: str, *values: object, database: str = "cmk") -> Row | None:
        found = self.rows(sql, *values, database=database)
        return found[0] if found else None

    @property
    def operators_environment(self) -> dict[str, str]:
        return {
            "OPENKCM_CONFIG": str(self.home / "worker.toml"),
            "PATH": os.environ["PATH"],
            **self.announced,
        }

    def openkcm(self, *arguments: str, status: int = 0) -> str:
        """What the operator's command said (stdout, then stderr), which ended with ``status``."""
        done = subprocess.run(
            [sys.executable, *([] if self.announced else ["-I"]), "-m", "openkcm", *arguments],
            env=self.operators_environment,
            capture_output=True,
            text=True,
            timeout=60,
            cwd="/",
            check=False,
        )
        assert done.returncode == status, (arguments, done.returncode, done.stdout, done.stderr)
        return done.stdout + done.stderr


@contextmanager
def running_site(databases: ModuleDatabases, queue_url: str, *start: str) -> Iterator[Site]:
    """The site, with these processes running; nothing is left of it after."""
    home = short_directory()
    loop = Loop()
    mail = MailServer(make_paper(home, days=3))
    mail.post = WatchedPost()
    site = Site(databases=databases, home=home, loop=loop, mail=mail)
    try:
        _prepare(site, queue_url)
        loop.run(mail.start())
        loop.run(open_database(databases.worker, application="test", max_size=2))
        site.start(*start)
        yield site
    finally:
        for child in site.children.values():
            if child.runs:
                child.kill()
        loop.run(site.close())
        loop.run(close_database())
        loop.run(mail.stop())
        loop.close()
        remove_tree(home)


def _prepare(site: Site, queue_url: str) -> None:
    """Identities, pins, folders and a settings file for each process."""
    home, databases = site.home, site.databases
    make_directory(site.folder, 0o700)
    identities: dict[str, Identity] = {}
    for name in ("control", *REGIONS):
        make_directory(home / name, 0o700)
        kind = "control" if name == "control" else "region"
        identities[name] = enrol(
            home / name / "identity.json", name, "control" if kind == "control" else "region"
        )
    pins = "\n".join(pin_toml(identity.pin) for identity in identities.values())
    web, doors = free_port(), {name: (free_port(), free_port()) for name in REGIONS}
    site.public_url = f"http://127.0.0.1:{web}"
    shared = {"redis": queue_url, "public_url": site.public_url, "log_level": "INFO"}
    regions = "\n".join(
        f'[[control.regions]]\nname = "{name}"\naddress = "127.0.0.1:{control}"'
        for name, (_, control) in doors.items()
    )
    common = [
        table("parties", {"identity": home / "control" / "identity.json"}),
        pins,
        regions + "\n",
        table("tenants", {"regions": REGIONS, "owner_wait_s": 1}),
        table("notices", {"operator": OPERATOR}),
    ]
    site.children["web"] = _child(
        site,
        "web",
        ("serve",),
        table("control", {**shared, "web_database": databases.web}),
        table("web", {"bind": f"127.0.0.1:{web}"}),
        *common,
        port=web,
    )
    watch = {"path": site.folder, "poll_s": 0.2, "confirm_s": 1, "all_gone_confirm_s": 1}
    for name in ("worker", "worker-2"):
        site.children[name] = _child(
            site,
            name,
            ("work",),
            table("control", {**shared, "worker_database": databases.worker}),
            table("worker", {"lease_s": LEASE_S, "sweep_s": 0.2}),
            *common,
            table("plugins.tenants-directory", watch),
            table("plugins.notify-smtp", dict(site.mail.settings(timeout_s="3"))),
            says="worker.ready",
        )
    for name, (data, control) in doors.items():
        settings = {
            "region": name,
            "database": databases.crypto(name),
            "root_file": home / name / "root.json",
            "state_directory": home / name / "state",
            "data_bind": f"127.0.0.1:{data}",
            "control_bind": f"127.0.0.1:{control}",
        }
        site.children[name] = _child(
            site,
            name,
            ("crypto", "--region", name),
            table("crypto", settings),
            table("parties", {"identity": home / name / "identity.json"}),
            pins,
            port=control,
        )


def _child(
    site: Site, name: str, arguments: tuple[str, ...], *tables: str, port: int = 0, says: str = ""
) -> Child:
    file = site.home / f"{name}.toml"
    write_private(file, "\n".join(tables))
    return Child(
        name=name, arguments=arguments, settings=file, log=site.home / f"{name}.log", port=port, says=says
    )


def letters(site: Site, recipient: str) -> list[Received]:
    """The mails that the server has accepted for this person, in order."""
    return [mail for mail in site.mail.received() if mail.recipient == recipient]


def told(site: Site, tenant: str) -> list[Received]:
    """The mails to the operator that speak of this tenant."""
    return [mail for mail in letters(site, OPERATOR) if tenant in mail.text]


def wait_stage(site: Site, tenant: str, stage: str, *, within_s: float = 30.0) -> Row:
    """The tenant's row, which has reached ``stage``."""
    return until(
        lambda: site.one("select * from tenants where id = $1 and stage = $2", tenant, stage),
        what=f"tenant {tenant} is {stage}",
        within_s=within_s,
    )


def wait_done(site: Site, tenant: str, *, within_s: float = 30.0) -> Row:
    """The tenant's saga, every step of which is done."""
    return until(
        lambda: site.one("select * from sagas where tenant = $1 and state = 'done'", tenant),
        what=f"tenant {tenant} is set up, with the mail accepted",
        within_s=within_s,
    )
