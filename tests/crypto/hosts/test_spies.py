"""What a hostile plugin finds when it looks around: nothing but what it was given. Each machine tests what it has."""

from __future__ import annotations

import os
import select
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from openkcm.crypto.hosts.confine import Confined
from openkcm.crypto.hosts.failed import StoreFailed
from openkcm.crypto.hosts.landlock import landlock_abi
from openkcm.crypto.hosts.pool import HostLimits
from openkcm.sdk.key_store import Connection
from tests.crypto.hosts.conftest import HERE, L2, SECRET, Make, connection, context
from tests.crypto.hosts.planted_spy import ATTEMPTS
from tests.parts import require


@pytest.fixture
def targets(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A region's things, as its process has them, and somebody who listens where its database would."""
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    for name in ("root", "identity", "granted"):
        (state / name).write_text("what is in it", encoding="utf-8")
        (state / name).chmod(0o600)
    with (
        socket.socket(socket.AF_UNIX) as database,
        socket.socket(socket.AF_UNIX) as abstract,
    ):
        database.bind(str(state / "database"))
        (state / "database").chmod(0o777)
        database.listen()
        abstract.bind(f"\0openkcm-{os.getpid()}")
        abstract.listen()
        yield {
            **{name: str(state / name) for name in ("root", "identity", "database", "new_file")},
            "state": str(state),
            "temporary": f"/tmp/openkcm-{os.getpid()}-was-here",
            "abstract": f"openkcm-{os.getpid()}",
            "parent": str(os.getpid()),
        }
    # Without Landlock a host may make an empty file where everybody may.
    Path(f"/tmp/openkcm-{os.getpid()}-was-here").unlink(missing_ok=True)


@pytest.fixture
def python_for_all() -> Iterator[Path]:
    """This interpreter where every account may run it: a copy, since the one in use may stand in a private home."""
    with tempfile.TemporaryDirectory() as made:
        root = Path(made)
        root.chmod(0o755)
        library = Path(sysconfig.get_path("stdlib"))
        skipped = shutil.ignore_patterns(
            "test", "tests", "site-packages", "__pycache__", "config-*", "idlelib"
        )
        shutil.copytree(library, root / "base/lib" / library.name, ignore=skipped)
        python = root / "base/bin/python3"
        python.parent.mkdir()
        shutil.copy(Path(sys.executable).resolve(), python)
        (root / "venv/bin").mkdir(parents=True)
        (root / "venv/bin/python3").symlink_to(python)
        (root / "venv/pyvenv.cfg").write_text(f"home = {python.parent}\n", encoding="utf-8")
        packages = root / "venv/lib" / library.name / "site-packages"
        packages.mkdir(parents=True)
        there = [each for each in sys.path if each.endswith(("site-packages", "src"))]
        (packages / "all.pth").write_text("\n".join(there), encoding="utf-8")
        yield root / "venv/bin/python3"


async def spied(make: Make, limits: HostLimits, targets: dict[str, str], **more: object) -> dict[str, str]:
    """What the attempts came to, by name, of a host beside another connection's; afterwards it still serves."""
    house = make(limits=limits, apart="yes")
    sibling = house.stores.at("planted", connection("sibling", secret="ab" * 32))
    pid = (await sibling.describe()).origin
    spy = connection("spy", **targets, sibling=pid)
    if "files" in more:
        spy = Connection(
            id=spy.id,
            tenant="acme",
            answers=spy.answers,
            secrets=spy.secrets,
            files={"module": str(more["files"])},
        )
    store = house.stores.at("planted", spy)
    found = {each.code: f"{each.level}: {each.said}" for each in await store.check()}
    assert len(house.pids) == 2
    needed = {name: found.pop(name) for name in list(found) if name.startswith("needed-")}
    assert {name for name, said in needed.items() if not said.startswith("bad: ")} == set(), needed
    assert len(needed) == 4
    assert await store.unwrap(await store.wrap(L2, context()), context()) == L2
    assert (await sibling.describe()).origin == pid
    return found


def needs_filter() -> None:
    require("a known table of system calls", os.uname().machine in {"x86_64", "aarch64"}, "x86-64 or arm64")


async def test_under_landlock_a_plugin_reaches_nothing_but_its_own(
    make: Make, targets: dict[str, str]
) -> None:
    require("Landlock", landlock_abi() >= 4, f"ABI 4 wanted, this kernel has {landlock_abi()}")
    needs_filter()
    granted = str(Path(targets["state"]) / "granted")
    targets["granted"] = granted
    found = await spied(make, HostLimits(), targets, files=granted)
    assert found.pop("read-granted") == "bad: what is in it"  # the one that the operator named
    assert set(found) == {name for name in ATTEMPTS if not name.startswith("needed-")} - {"read-granted"}
    ports = found.pop("connect-port"), found.pop("connect-other-port")
    assert ports == ("warn: not tried", "warn: not tried")  # to any port, where none is named
    assert {name: said for name, said in found.items() if not said.startswith("ok: refused")} == {}
    assert not Path(targets["new_file"]).exists()


async def test_a_file_that_nobody_named_is_not_read(make: Make, targets: dict[str, str]) -> None:
    require("Landlock", landlock_abi(), "Linux 5.13 with landlock among its security modules")
    targets["granted"] = str(Path(targets["state"]) / "granted")
    assert (await spied(make, HostLimits(), targets))["read-granted"] == "ok: refused PermissionError"


async def test_under_an_account_of_its_own_a_plugin_reads_nothing_of_the_region(
    make: Make, targets: dict[str, str], python_for_all: Path
) -> None:
    require("root", os.geteuid() == 0, "only root can give a process another uid")
    require("room for a uid of one's own", has_all_uids(), "a container maps too few uids")
    needs_filter()
    limits = HostLimits(landlock=False, interpreter=str(python_for_all))
    found = await spied(make, limits, targets)
    found.pop("bind-port")  # only Landlock knows ports
    for name in ("read-granted", "connect-port", "connect-other-port"):
        assert found.pop(name) == "warn: not tried"
    assert {name: said for name, said in found.items() if not said.startswith("ok: refused")} == {}
    assert not Path(targets["new_file"]).exists()


def has_all_uids() -> bool:
    """Whether this is no container with a few uids only."""
    first, _, count = Path("/proc/self/uid_map").read_text(encoding="ascii").split()[:3]
    return (first, count) == ("0", "4294967295")


async def test_another_connections_secret_is_not_in_a_host_of_its_own(make: Make) -> None:
    house = make(apart="yes")
    one, other = (house.stores.at("planted", connection(name)) for name in ("one", "other"))
    assert (await one.describe()).origin != (await other.describe()).origin


async def test_a_host_has_nothing_in_arguments_and_environment(make: Make) -> None:
    house = make()
    await house.stores.at("planted", connection()).probe()
    (pid,) = house.pids
    arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
    assert SECRET.encode() not in arguments
    assert arguments.endswith(f"openkcm.crypto.hosts.process\0{os.getpid()}\0".encode())
    environment = dict(
        each.split(b"=", 1) for each in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") if each
    )
    assert set(environment) <= {b"LANG", b"HOME", b"PATH"}
    assert Path(f"/proc/{pid}/cwd").readlink() == Path("/")
    assert os.getpgid(pid) == pid


async def test_a_secret_that_a_plugin_prints_or_raises_reaches_no_log(
    make: Make, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    store = make().stores.at("planted", connection())
    with pytest.raises(Exception, match="does not document") as failed:
        await store.wrap(L2, context("shout"))
    broken = make().stores.at("planted", connection(open="fail"))
    with pytest.raises(Exception, match="does not document"):
        await broken.probe()
    out, err = capfd.readouterr()
    assert SECRET not in out + err + caplog.text + repr(failed.value) + str(failed.value.__dict__)
    assert failed.value.__cause__ is None


async def test_a_findings_words_are_shown_clean_and_without_the_connections_secrets(make: Make) -> None:
    (finding,) = await make().stores.at("planted", connection()).trust({"admin": "set-up password"})
    assert finding.said == "[31mused [redacted] and [redacted]"
    assert finding.remedy is None, "a remedy is the declaration's, never a finding's own"


PEM = "-----BEGIN KEY-----\nMIIEvQ+IBADANBgkqhkiG9w0BAQ/EFAASCBKcw\nggSjAgEAAoIBAQ==\n-----END KEY-----\n"


def leaking(**answers: str) -> Connection:
    return Connection(
        id="leaks", tenant="acme", answers={"n": "1", **answers}, secrets={"key": SECRET, "pem": PEM}
    )


async def test_a_secret_is_not_shown_either_as_a_library_writes_it(make: Make) -> None:
    (finding,) = await make().stores.at("planted", leaking(trust="words")).trust({})
    shown = f"{finding.said} {finding.permission}"
    assert "line [redacted] json" in shown
    for part in ("MIIEvQ", "ggSjAgE", "BEGIN", "LS0tLS1CRUdJTi"):
        assert part not in shown


@pytest.mark.parametrize("where", ["code", "description", "reference"])
async def test_what_is_stored_and_shown_as_it_is_holds_no_secret(make: Make, where: str) -> None:
    store = make().stores.at(
        "planted", leaking(**({"trust": "code"} if where == "code" else {"describe": "leak"}))
    )
    asked: dict[str, Callable[[], Awaitable[object]]] = {
        "code": lambda: store.trust({}),
        "description": store.describe,
        "reference": lambda: store.wrap(L2, context("secret-reference")),
    }
    with pytest.raises(StoreFailed) as failed:
        await asked[where]()
    assert failed.value.code == "malformed"


async def test_a_short_secret_is_no_reason_to_doubt_a_reference(make: Make) -> None:
    short = Connection(id="short", tenant="acme", answers={"n": "1"}, secrets={"key": SECRET, "pin": "plan"})
    assert (await make().stores.at("planted", short).describe()).reference == "planted"


@pytest.mark.parametrize("kill", ["kill", "exit"])
def test_a_host_dies_with_its_parent(kill: str) -> None:
    """Also by SIGKILL, and while the plugin is in a loop that reads no socket."""
    program = Path(HERE, "parent.py")
    with subprocess.Popen(
        [sys.executable, str(program), kill, str(HERE)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        host = int(parent.stdout.readline())
        descriptor = os.pidfd_open(host)
        try:
            parent.stdout.readline()  # the host's plugin is busy now
            parent.kill() if kill == "kill" else parent.wait(timeout=30)
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            assert poll.poll(20_000), "the host outlived its parent"
        finally:
            os.close(descriptor)


def test_a_process_says_how_it_was_confined() -> None:
    command = [sys.executable, "-I", "-m", "openkcm.crypto.hosts.confine"]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    confined = msgspec.json.decode(done.stdout, type=Confined)
    require("confinement", confined.holds, "neither Landlock nor root")
    assert confined.landlock == min(landlock_abi(), confined.landlock)
    assert confined.filtered or os.uname().machine not in {"x86_64", "aarch64"}
