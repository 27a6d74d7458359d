"""The settings files that ``openkcm up`` writes say what was meant, and no process's holds another's passwords."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openkcm.__main__ import run
from openkcm.catalog.load import by_plugin_name
from openkcm.cli._files import Doors, Files, operator_command, table, write_settings
from openkcm.embedded.databases import Databases
from openkcm.embedded.files import make_directory
from openkcm.embedded.state import Lock, StateDirectory
from openkcm.sdk.refusals import Permanent, Refusal
from openkcm.settings import load_settings

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(
    values=st.dictionaries(
        TEXT, TEXT | st.booleans() | st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=4
    )
)
def test_a_table_is_read_as_it_was_written(values: dict[str, object]) -> None:
    assert tomllib.loads(table("plugins.a b", values)) == {"plugins": {"a b": values}}


@dataclass(frozen=True)
class Addresses:
    """What the databases' addresses are to the files: text with a password in it."""

    web = "postgresql://web:canary-web@/cmk"
    worker = "postgresql://worker:canary-worker@/cmk"
    control_owner = "postgresql://owner:canary-owner@/cmk"

    def crypto(self, region: str) -> str:
        return f"postgresql://crypto:canary-{region}@/crypto"


@pytest.fixture
def files(tmp_path: Path) -> Files:
    make_directory(tmp_path / "state", 0o700)
    made = Files(tmp_path / "state")
    made.make()
    control, region = made.identities()
    settings = load_settings(
        environ={
            "OPENKCM_TENANTS__REGIONS": "local",
            "OPENKCM_TENANTS__KEY_WAIT_S": "864000",
            "OPENKCM_CONTROL__UNSAFE_WITHOUT_STEP_UP": "true",
            "OPENKCM_WORKER__LEASE_S": "2",
            "OPENKCM_CRYPTO__ALLOWED_NETWORKS": "127.0.0.0/8",
            "OPENKCM_PLUGINS__NOTIFY_SMTP__PASSWORD": "canary-mail",
            "OPENKCM_PLUGINS__KEYSTORE_EXAMPLE__HOST_WRITES": "/srv/example",
        },
        embedded=True,
    )
    databases = cast("Databases", Addresses())
    doors = Doors(web=8090, data=8091, control=8092)
    write_settings(made, settings, databases, doors, (control.pin, region.pin), redis="unix:///x?db=0")
    return made


@pytest.mark.parametrize(
    ("process", "canaries"),
    [
        ("web", {"canary-web"}),
        ("worker", {"canary-worker", "canary-mail"}),
        ("crypto", {"canary-local"}),
        ("operator", {"canary-web", "canary-worker", "canary-owner", "canary-mail"}),
    ],
)
def test_each_file_is_private_and_holds_its_own_processs_passwords_alone(
    files: Files, process: str, canaries: set[str]
) -> None:
    file = files.settings(process)
    assert file.stat().st_mode & 0o777 == 0o600
    every = {"canary-web", "canary-worker", "canary-owner", "canary-local", "canary-mail"}
    assert {canary for canary in every if canary in file.read_text()} == canaries


def test_the_commands_that_pages_and_mails_show_name_the_state_directory(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = f"openkcm {{command}} --state {files.state}"
    for process in ("web", "worker", "operator"):
        made = load_settings(environ={}, file=files.settings(process))
        assert made.control.operator_command == expected
    monkeypatch.setattr("openkcm.cli._files.default_state_directory", lambda: files.state)
    monkeypatch.delenv("OPENKCM_CONFIG", raising=False)
    unset = load_settings(environ={})
    assert operator_command(unset, files.state) == "openkcm {command}"
    monkeypatch.setenv("OPENKCM_CONFIG", "/etc/openkcm.toml")
    assert operator_command(unset, files.state) == expected, "else that file's installation would be asked"
    own = load_settings(environ={"OPENKCM_CONTROL__OPERATOR_COMMAND": "ssh keys openkcm {command}"})
    assert operator_command(own, files.state) == "ssh keys openkcm {command}"


def test_what_was_set_reaches_the_processes(files: Files) -> None:
    worker = load_settings(environ={}, file=files.settings("worker"))
    assert (worker.tenants.regions, worker.worker.lease_s) == (("local",), 2)
    assert worker.control.regions[0].address == "127.0.0.1:8092"
    assert worker.public_url == "http://127.0.0.1:8090"
    assert worker.plugins["notify-smtp"]["password"] == "canary-mail"
    web = load_settings(environ={}, file=files.settings("web"))
    assert (web.web.bind, len(web.parties.pins)) == ("127.0.0.1:8090", 2)
    crypto = load_settings(environ={}, file=files.settings("crypto")).crypto
    assert crypto is not None
    assert (crypto.data_bind, crypto.allowed_networks) == ("127.0.0.1:8091", ("127.0.0.0/8",))


@pytest.mark.parametrize("process", ["web", "worker", "crypto", "operator"])
def test_settings_of_a_key_store_reach_every_process_and_the_regions_hosts_with_them(
    files: Files, process: str
) -> None:
    plugins = by_plugin_name(load_settings(environ={}, file=files.settings(process)).plugins)
    assert plugins["keystore-example"] == {"host_writes": "/srv/example"}
    assert ("notify-smtp" in plugins) is (process in ("worker", "operator"))


def test_identities_are_made_once(files: Files) -> None:
    first = files.identities()
    assert [one.pin for one in files.identities()] == [one.pin for one in first]


@pytest.mark.parametrize("lost", ["control/identity.json", "regions/local/identity.json"])
def test_an_identity_that_tenants_depend_on_is_never_made_anew(tmp_path: Path, lost: str) -> None:
    files = Files(tmp_path)
    files.make()
    pins = [identity.pin for identity in files.identities()]
    (files.control / "installation").write_text("one")
    (files.region / "root.json").write_text("{}")
    path = tmp_path / lost
    kept = path.rename(path.with_suffix(".kept"))
    with pytest.raises(Permanent) as refused:
        files.identities()
    assert refused.value.refusal is Refusal.IDENTITY_UNREADABLE
    assert str(path) in refused.value.message
    assert not path.exists(), "none is made in its place"
    kept.rename(path)
    assert [identity.pin for identity in files.identities()] == pins


def test_a_command_for_an_installation_that_is_stopped_says_so_and_how_to_start_it(
    files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    own = files.settings("operator").read_text()
    nowhere = own.replace("postgresql://worker:canary-worker@/cmk", "postgresql://w@127.0.0.1:1/cmk")
    files.settings("operator").write_text(nowhere)
    assert run(["tenants", "list", "--state", str(files.state)]) == 1
    told = capsys.readouterr().err
    assert f"'openkcm up' is not running on {files.state}" in told
    assert f"Start it with 'openkcm up --state {files.state}'" in told
    assert "by itself" not in told
    lock = Lock.take(StateDirectory(files.state).lock, what="This")
    try:
        assert run(["tenants", "list", "--state", str(files.state)]) == 1
    finally:
        lock.release()
    told = capsys.readouterr().err
    assert "a command does not ask it again" in told
    assert f"openkcm doctor --state {files.state}" in told


def test_what_decides_about_keys_reaches_who_gives_the_commands(files: Files) -> None:
    for process in ("web", "worker", "operator"):
        settings = load_settings(environ={}, file=files.settings(process))
        assert settings.control.unsafe_without_step_up, process
        assert settings.tenants.key_wait_s == 864000, process
