"""What holds for every command: what is loaded, how it ends, what it says where."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import msgspec
import pytest

from openkcm import __main__ as program
from openkcm.__main__ import run
from openkcm.parties.settings import PinSetting, read_pins
from openkcm.sdk.refusals import Permanent, Refusal, Remedy

NAMES = ["audit", "crypto", "doctor", "keystores", "migrate", "plugins", "serve", "tenants", "up", "work"]


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("OPENKCM_CONFIG", "OPENKCM_PARTIES__IDENTITY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr("openkcm.cli._operator.default_state_directory", lambda: tmp_path / "nothing")


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    listed = capsys.readouterr().out
    for name in NAMES:
        assert f"\n  {name} " in listed
        assert run([name, "--help"]) == 0


def test_the_program_and_a_command_load_no_other_commands_parts() -> None:
    code = (
        "import sys, json; from openkcm.__main__ import commands; import click;"
        "commands.list_commands(click.Context(commands)); before = sorted(sys.modules);"
        "commands.get_command(click.Context(commands), 'plugins'); print(json.dumps([before, sorted(sys.modules)]))"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    first, second = (set(names) for names in json.loads(done.stdout))
    assert first & {"litestar", "asyncpg", "cryptography", "openkcm.crypto", "openkcm.cli.up"} == set()
    assert second & {"litestar", "openkcm.crypto.app", "openkcm.cli.up", "openkcm.app"} == set()


@pytest.mark.parametrize(
    "arguments", [["no-such"], ["tenants", "show"], ["up", "--no-such"], ["up", "--smtp", "nonsense"]]
)
def test_wrong_usage_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "Usage:" in told.err or "Error:" in told.err


def test_a_refusal_ends_with_1_and_says_what_to_do_by_whom(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    def command() -> None:
        raise Permanent(Refusal.PORT_TAKEN, "It is taken.", remedy=Remedy("Free it.", "operator", "here"))

    monkeypatch.setattr(program, "commands", command)
    assert run([]) == 1
    assert capsys.readouterr().err == (
        "Refused (port-taken): It is taken. What to do: Free it. (operator) Where it is written: here\n"
    )


def test_a_defect_ends_with_1_without_its_words_or_trace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    def command() -> None:
        raise RuntimeError("canary")

    monkeypatch.setattr(program, "commands", command)
    assert run([]) == 1
    told = capsys.readouterr().err
    assert "RuntimeError" in told
    assert "canary" not in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    "arguments", [["tenants", "list"], ["tenants", "sign-in", "x"], ["audit", "verify"], ["doctor"]]
)
def test_without_an_installation_the_operator_is_told_how_to_name_one(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 1
    assert "Refused (setting-missing)" in capsys.readouterr().err


def test_a_wrong_setting_stops_a_process_by_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENKCM_WEB__BNID", "127.0.0.1:1")
    assert run(["serve"]) == 1
    assert "OPENKCM_WEB__BIND" in capsys.readouterr().err


def test_up_refuses_servers_of_ones_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("OPENKCM_CONTROL__WEB_DATABASE", "postgresql://u:canary@db/cmk")
    assert run(["up", "--state", str(tmp_path / "state")]) == 1
    told = capsys.readouterr().err
    assert "control.web_database" in told
    assert "canary" not in told
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("name", ["region", "data_certificate"])
def test_up_refuses_a_region_of_ones_own_by_the_setting_that_says_so(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv(f"OPENKCM_CRYPTO__{name.upper()}", "somewhere")
    assert run(["up", "--state", str(tmp_path / "state")]) == 1
    told = capsys.readouterr().err
    assert "setting-invalid" in told
    assert f"crypto.{name} is set" in told
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("host", "code"), [("127.0.0.1", Refusal.PORT_TAKEN), ("192.0.2.1", Refusal.SETTING_INVALID)]
)
def test_up_takes_no_other_port_than_the_one_asked_for_and_serves_this_machine_alone(
    host: str,
    code: Refusal,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("OPENKCM_WEB__BIND", f"{host}:{taken.getsockname()[1]}")
        assert run(["up", "--state", str(tmp_path / "state"), "--manifests", str(tmp_path)]) == 1
    assert code in capsys.readouterr().err
    assert not (tmp_path / "state" / "postgres").exists()
    assert not (tmp_path / "state" / "lock").exists()


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["serve", "--enrol"], "control"),
        (["crypto", "--region", "north", "--enrol"], "north"),
        (["crypto", "--enrol", "2", "--region", "north"], "north"),
    ],
)
def test_enrolling_prints_the_pin_and_keeps_the_keys(
    arguments: list[str],
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    file = tmp_path / "identity.json"
    monkeypatch.setenv("OPENKCM_PARTIES__IDENTITY", str(file))
    assert run(arguments) == 0
    told = capsys.readouterr()
    (setting,) = tomllib.loads(told.out)["parties"]["pins"]
    (pin,) = read_pins([msgspec.convert(setting, PinSetting)])
    assert (pin.name, pin.serial) == (name, 2 if "2" in arguments else 1)
    assert pin.fingerprint in told.err
    assert file.stat().st_mode & 0o777 == 0o600
    assert run(arguments) == 1
    assert "identity-exists" in capsys.readouterr().err


def test_plugins_are_listed_for_people_and_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plugins", "list"]) in (0, 1)
    capsys.readouterr()
    assert run(["plugins", "list", "--json"]) in (0, 1)
    assert isinstance(json.loads(capsys.readouterr().out), list)
