"""The token that is sent is the one that counts now: from the file, and from the command."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from openkcm.sdk.refusals import Refusal, Temporary
from openkcm_tenants_kcp.credentials import Credentials
from openkcm_tenants_kcp.kubeconfig import Exec, Kubeconfig

NOON = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)


class Time:
    now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s

    def wall(self) -> datetime:
        return NOON + timedelta(seconds=self.now_s - 1000.0)


def credentials(given: Kubeconfig, time: Time) -> Credentials:
    return Credentials(given, clock=time.monotonic, now=time.wall)


async def test_a_token_of_the_kubeconfig_is_sent_as_it_is() -> None:
    assert await credentials(Kubeconfig(server="", token="t"), Time()).token() == "t"


async def test_a_token_file_is_read_again_after_a_minute_and_at_once_when_the_token_is_refused(
    tmp_path: Path,
) -> None:
    file, time = tmp_path / "token", Time()
    known = credentials(Kubeconfig(server="", token_file=file), time)
    file.write_text("first\n")
    assert await known.token() == "first"
    file.write_text("second\n")
    assert await known.token() == "first"
    time.now_s += 61
    assert await known.token() == "second"
    file.write_text("third\n")
    known.refused("first")
    assert await known.token() == "second", "a refusal of an older token says nothing about this one"
    known.refused("second")
    assert await known.token() == "third"


async def test_a_token_file_that_is_gone_is_a_temporary_refusal_and_heals(tmp_path: Path) -> None:
    file = tmp_path / "token"
    known = credentials(Kubeconfig(server="", token_file=file), Time())
    with pytest.raises(Temporary) as refused:
        await known.token()
    assert refused.value.refusal is Refusal.SOURCE_UNAVAILABLE
    file.write_text("\n")
    with pytest.raises(Temporary, match="is empty"):
        await known.token()
    file.write_text("there")
    assert await known.token() == "there"


def command(folder: Path, script: str) -> Kubeconfig:
    file = folder / "login"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return Kubeconfig(server="", exec=Exec(command=str(file), environment={"WHO": "we"}, directory=folder))


async def test_a_command_is_run_again_when_its_token_nears_its_end(tmp_path: Path) -> None:
    time = Time()
    expires = (NOON + timedelta(seconds=300)).isoformat().replace("+00:00", "Z")
    given = command(
        tmp_path,
        'echo x >> runs; test -n "$KUBERNETES_EXEC_INFO" || exit 9; '
        f'printf \'{{"kind":"ExecCredential","status":{{"token":"%s-%s","expirationTimestamp":"{expires}"}}}}\' '
        '"$WHO" $(wc -l < runs)',
    )
    known = credentials(given, time)
    assert await known.token() == "we-1"
    time.now_s += 200
    assert await known.token() == "we-1"
    time.now_s += 75
    assert await known.token() == "we-2"


@pytest.mark.parametrize(
    "script",
    [
        "exit 3",
        "echo secret-words; exit 0",
        'echo \'{"kind":"ExecCredential"}\'',
        'echo \'{"kind":"ExecCredential","status":{"token":"t","expirationTimestamp":"2026-11-27T12:00:00"}}\'',
    ],
)
async def test_a_command_that_gives_no_token_is_named_without_its_words(tmp_path: Path, script: str) -> None:
    known = credentials(command(tmp_path, script), Time())
    with pytest.raises(Temporary) as refused:
        await known.token()
    assert str(tmp_path / "login") in refused.value.message
    assert "secret-words" not in refused.value.message
    with pytest.raises(Temporary, match="cannot be run"):
        await credentials(Kubeconfig(server="", exec=Exec(command="/nowhere/login")), Time()).token()
