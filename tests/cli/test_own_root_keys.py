"""``openkcm keystores`` and ``keys outage`` about one tenant, on a real database."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import pytest

from openkcm.__main__ import run
from openkcm.activation.adopt import Adopt
from openkcm.activation.means import Means
from openkcm.catalog import load
from openkcm.catalog.registry import Installed
from openkcm.cli._files import table
from openkcm.cli._keys import print_trouble
from openkcm.crypto.contract import Checked, CheckItem, Found, LinkTold
from openkcm.kernel.clock import SetClock
from openkcm.kernel.db import Role, close_database, open_database, transaction
from openkcm.keystores.health import Condition, Health
from openkcm.keystores.links import Way
from openkcm.parties.settings import pin_toml
from openkcm.propagation.decide import decide
from tests.control import NOON
from tests.crypto.world import World
from tests.databases import ModuleDatabases
from tests.propagation.parts import MemoryRegion, MemoryRegions, settled

pytestmark = pytest.mark.integration
SECRET = "canary-5up3r"
MEMORY = Installed(
    name="keystore-memory", module="openkcm.sdk.testing.memory_key_store", distribution="openkcm", version="1"
)
ANSWERS = ("address=https://kms.example", "key=payments", "identity=openkcm")


class Looking(MemoryRegion):
    """Finds a connection good, but where its key is called ``bad``."""

    async def check(self, item: CheckItem) -> Checked:
        bad = item.connection.answers["key"] == "bad"
        found = Found(level="bad" if bad else "ok", code="x", said="It is bad." if bad else "It is good.")
        return Checked(tenant=item.tenant, connection=item.connection.id, findings=(found,))


class Place:
    """An installation with one tenant that is ready; ``work`` is what its worker does."""

    def __init__(self, databases: ModuleDatabases, directory: Path) -> None:
        self.databases = databases
        self.world = World(directory)
        self.file = directory / "openkcm.toml"
        control = {
            "worker_database": databases.worker,
            "web_database": databases.web,
            "public_url": "https://keys.example",
            "unsafe_without_step_up": True,
            "operator_command": "ssh keys openkcm {command}",
        }
        pins = "\n".join(pin_toml(each.pin) for each in (self.world.control, self.world.local, self.world.eu))
        parties = table("parties", {"identity": str(directory / "control.json")})
        self.file.write_text(f"{table('control', control)}\n{parties}\n{pins}\n")
        self.file.chmod(0o600)

    async def _on(self, work: Any) -> None:  # noqa: ANN401 - a coroutine
        await open_database(self.databases.worker, application="test", max_size=2)
        try:
            await work
        finally:
            await close_database()

    def begin(self) -> None:
        async def begun() -> None:
            clock = SetClock(NOON)
            await settled(clock)
            async with transaction(Role.SYSTEM) as tx:
                await decide(tx, "acme", identity=self.world.control, clock=clock)

        asyncio.run(self._on(begun()))

    def work(self) -> None:
        regions = MemoryRegions("local", "eu-1")
        for name in ("local", "eu-1"):
            regions._all[name] = Looking(name)
        means = Means(
            regions=regions,
            identity=self.world.control,
            pins=self.world.pins,
            clock=SetClock(NOON),
            public_url="",
            operator="",
            key_wait_s=1.0,
        )

        async def worked() -> None:
            async with transaction(Role.SYSTEM) as tx:
                events = await tx.fetch(
                    "delete from outbox where topic = 'keystores.check' returning payload::text as payload"
                )
            for event in events:
                await Adopt(means)(json.loads(event["payload"]))

        asyncio.run(self._on(worked()))


@pytest.fixture
def place(databases: ModuleDatabases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    import asyncpg  # noqa: PLC0415 - used here alone

    made = Place(databases, tmp_path)
    monkeypatch.setenv("OPENKCM_CONFIG", str(made.file))
    monkeypatch.setattr(load, "installed", lambda: (MEMORY,))

    async def emptied() -> None:
        owner = await asyncpg.connect(databases.control_owner)
        names = await owner.fetchval(
            "select string_agg(quote_ident(relname), ', ') from pg_class where relnamespace = 'public'::regnamespace "
            "and relkind = 'r' and relname not in ('alembic_version', 'installation')"
        )
        await owner.execute(f"truncate {names}")
        await owner.close()

    asyncio.run(emptied())
    made.begin()
    return made


def connected(place: Place, capsys: pytest.CaptureFixture[str], *more: str, key: str = "payments") -> str:
    file = place.file.parent / "password"
    file.write_text(f"{SECRET}\n")
    told = [f"key={key}" if each.startswith("key=") else each for each in ANSWERS]
    options = [part for each in told for part in ("--answer", each)]
    command = ["keystores", "connect", "acme", "--plugin", "memory", *options]
    assert run([*command, "--secret", f"password={file}", *more, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["changed"]
    return str(found["connection"])


def test_connected_checked_shown_and_disconnected(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    made = connected(place, capsys)
    assert run(["keystores", "check", "acme", made, "--no-wait"]) == 0
    place.work()
    capsys.readouterr()
    assert run(["keystores", "show", "acme", "--json"]) == 0
    out = capsys.readouterr().out
    page = json.loads(out)
    (line,) = page["connections"]
    assert (line["id"], line["usable"], page["platform"]) == (made, True, True)
    assert SECRET not in out
    assert run(["keystores", "show", "acme"]) == 0
    said = capsys.readouterr().out
    for part in (page["subject"], made, "It is good.", "key=payments", "sealed: password", "lease"):
        assert part in said
    assert run(["keystores", "disconnect", "acme", made]) == 0
    capsys.readouterr()
    assert run(["keystores", "disconnect", "acme", made]) == 1
    assert "connection-unknown" in capsys.readouterr().err


def test_a_secret_comes_from_stdin_and_never_from_the_command_line(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = [part for each in ANSWERS for part in ("--answer", each)]
    command = ["keystores", "connect", "acme", "--plugin", "memory", *options]
    assert run([*command, "--answer", f"password={SECRET}"]) == 1
    told = capsys.readouterr()
    assert "password: It is secret" in told.err
    assert SECRET not in told.out + told.err
    assert run(command) == 1
    assert "Password is needed" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{SECRET}\n"))
    assert run([*command, "--secret", "password=-"]) == 0
    told = capsys.readouterr()
    assert "The owner of the root key names this subject: openkcm-" in told.out
    assert SECRET not in told.out + told.err
    assert "Next: ssh keys openkcm keystores check acme c-" in told.out, "as it can be pasted"
    assert run([*command, "--secret", "password=/nowhere"]) == 1
    assert "cannot be read as text" in capsys.readouterr().err
    assert run([*command, "--answer", "half"]) == 2


def test_findings_of_an_older_version_are_said_to_be(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    made = connected(place, capsys)
    run(["keystores", "check", "acme", made, "--no-wait"])
    place.work()
    run(["keystores", "show", "acme"])
    assert "not checked yet" not in capsys.readouterr().out
    connected(place, capsys, "--connection", made)
    run(["keystores", "show", "acme"])
    assert "version 2 is not checked yet; this was found of version 1:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (Condition.SUSPENDED, "nothing is encrypted or decrypted there"),
        (Condition.NO_ANSWER, "everything still works there"),
        (Condition.FINE, ""),
    ],
)
def test_keys_that_are_active_are_not_listed_without_a_word_of_a_root_key_that_stops_them(
    condition: Condition, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told = LinkTold(tenant="acme", key_id="k", connection="c", verdict="serve", seen=(), code="")
    health = Health(condition=condition, since=NOON)
    print_trouble("acme", [Way(region="local", told=told, health=health, active=True)])
    print_trouble("acme", [Way(region="old", told=told, health=health, active=False)])
    said = capsys.readouterr().out
    assert words in said
    assert ("Region local" in said, "old" in said) == (bool(words), False)


def test_a_connection_that_is_found_bad_is_not_relinked_to(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = connected(place, capsys, "--request", "bad", key="bad")
    assert run(["keystores", "relink", "acme", bad, "--yes", "acme"]) == 1
    assert "connection-not-checked" in capsys.readouterr().err
    run(["keystores", "check", "acme", bad, "--no-wait"])
    place.work()
    capsys.readouterr()
    assert run(["keystores", "relink", "acme", bad, "--yes", "acme"]) == 1
    assert "Region local found of connection" in capsys.readouterr().err


def test_a_relink_wants_the_tenants_name_typed_and_exactly_one_root_key(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    made = connected(place, capsys)
    run(["keystores", "check", "acme", made, "--no-wait"])
    place.work()
    assert run(["keystores", "relink", "acme", made]) == 1
    assert "typed as a confirmation" in capsys.readouterr().err
    assert run(["keystores", "relink", "acme"]) == 2
    assert run(["keystores", "relink", "acme", made, "--platform"]) == 2
    capsys.readouterr()
    assert run(["keystores", "relink", "acme", made, "--yes", "acme", "--no-wait", "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert (done["verb"], done["changed"]) == ("relink", True)


def test_an_outage_is_chosen_in_one_decision(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["keys", "outage", "acme", "--choice", "memory-only", "--window", "600", "--governance", "300"]
    assert run([*command, "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert (done["changed"], done["generation"], done["policy"]["outage_s"]) == (True, 2, 600.0)
    assert run(command) == 0
    assert "nothing was changed" in capsys.readouterr().out
    assert run(["keys", "outage", "acme", "--choice", "fail-closed", "--window", "600"]) == 1
    told = capsys.readouterr().err
    assert "Fail closed has no outage window" in told
    assert "What to do: Choose another one. (you)" in told
    assert run(["keys", "outage", "acme", "--choice", "sometimes"]) == 2
    run(["keystores", "show", "acme"])
    assert ", who runs this installation." in capsys.readouterr().out
    assert run(["keys", "outage", "acme", "--choice", "fail-closed"]) == 0
    assert "is not survived" in capsys.readouterr().out
    run(["keystores", "show", "acme"])
    assert "stops at the first call that is not answered" in capsys.readouterr().out
