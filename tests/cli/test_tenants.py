"""The operator's commands on a real database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from openkcm.__main__ import run
from openkcm.cli._files import table
from openkcm.kernel.clock import SystemClock
from openkcm.kernel.db import Role, close_database, open_database, transaction
from openkcm.sdk.refusals import Refusal
from openkcm.sdk.tenant_source import Batch, Problem
from openkcm.sdk.testing.memory_source import observed
from openkcm.tenancy.observe import observe
from tests.control import batch
from tests.databases import ModuleDatabases

pytestmark = pytest.mark.integration
TENANT = "tenant-1"


@pytest.fixture(autouse=True)
def installation_of_one(databases: ModuleDatabases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings that name this module's database, with one tenant in it that nobody owns."""
    file = tmp_path / "openkcm.toml"
    file.write_text(
        table(
            "control",
            {
                "worker_database": databases.worker,
                "web_database": databases.web,
                "public_url": "https://keys.example",
            },
        )
    )
    file.chmod(0o600)
    monkeypatch.setenv("OPENKCM_CONFIG", str(file))
    monkeypatch.setattr("openkcm.cli.tenants.default_state_directory", lambda: tmp_path)
    asyncio.run(_on(databases, _one_tenant()))
    return file


async def _one_tenant() -> None:
    await observe("memory", batch(observed(TENANT, name="payments")), SystemClock())
    async with transaction(Role.SYSTEM) as tx:
        await tx.execute("delete from sessions; delete from sign_in_links; delete from grants")
        await tx.execute("update tenants set creator_issuer = null, creator_username = null")


async def _on(databases: ModuleDatabases, work: Coroutine[Any, Any, None]) -> None:
    await open_database(databases.worker, application="test", max_size=2)
    try:
        await work
    finally:
        await close_database()


def test_tenants_are_listed_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["tenants", "list"]) == 0
    head, line = capsys.readouterr().out.splitlines()
    assert "FIRST SEEN (UTC)" in head
    assert line.startswith(TENANT)
    assert run(["tenants", "list", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["id"], found["state"], found["owner"]) == (TENANT, "provisioning", None)
    assert found["first_seen"] <= datetime.now(UTC).isoformat()
    assert run(["tenants", "show", TENANT, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [step["name"] for step in shown["steps"]][:2] == ["admit", "assign"]
    assert run(["tenants", "show", TENANT]) == 0
    assert f"openkcm tenants grant {TENANT} --username NAME" in capsys.readouterr().out


def test_an_owner_is_granted_and_comes_in_by_a_link_in_a_private_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(["tenants", "sign-in", TENANT]) == 1
    assert "not-permitted" in capsys.readouterr().err
    for said in ("is now", "was already"):
        assert run(["tenants", "grant", TENANT, "--username", "mara@example.org"]) == 0
        assert said in capsys.readouterr().out
    assert run(["tenants", "sign-in", TENANT]) == 0
    told = capsys.readouterr()
    file = Path(told.out.strip())
    assert file == tmp_path / "sign-in" / f"{TENANT}.txt"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_text().startswith(f"https://keys.example/t/{TENANT}/sign-in/")
    token = file.read_text().strip().rpartition("/")[2]
    assert token not in told.out + told.err


def test_a_link_for_a_script_is_in_a_file_and_not_on_its_output(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(["tenants", "grant", TENANT, "--username", "mara@example.org"]) == 0
    capsys.readouterr()
    assert run(["tenants", "sign-in", TENANT, "--json", "--file", str(tmp_path / "link")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["file"], told["username"]) == (str(tmp_path / "link"), "mara@example.org")
    assert "sign-in/" not in json.dumps(told)


@pytest.mark.parametrize("verb", ["show", "retry", "cancel", "sign-in"])
def test_a_tenant_that_is_not_there_is_refused(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["tenants", verb, "nobody"]) == 1
    assert "Refused (tenant-unknown): There is no tenant nobody here." in capsys.readouterr().err


def test_a_command_that_is_shown_reaches_the_same_installation(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENKCM_CONTROL__OPERATOR_COMMAND", "openkcm {command} --state '/srv/two words'")
    assert run(["tenants", "show", "nobody"]) == 1
    assert "openkcm tenants list --state '/srv/two words'" in capsys.readouterr().err
    assert run(["tenants", "show", TENANT]) == 0
    shown = capsys.readouterr().out
    assert f"openkcm tenants grant {TENANT} --username NAME --state '/srv/two words'" in shown
    monkeypatch.setenv("OPENKCM_CONTROL__OPERATOR_COMMAND", "openkcm")
    assert run(["tenants", "list"]) == 1
    assert "{command}" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["retry", "cancel"])
def test_a_set_up_that_has_not_begun_cannot_be_retried_or_cancelled(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["tenants", verb, TENANT]) == 1
    assert "Refused (tenant-state)" in capsys.readouterr().err


def test_a_changed_entry_of_the_audit_is_found(
    databases: ModuleDatabases, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["tenants", "grant", TENANT, "--username", "mara@example.org"]) == 0
    capsys.readouterr()
    assert run(["audit", "verify", "--json"]) == 0
    assert all(chain["whole"] for chain in json.loads(capsys.readouterr().out)["chains"])
    asyncio.run(_forge(databases))
    assert run(["audit", "verify"]) == 1
    assert "NOT WHOLE" in capsys.readouterr().out
    assert run(["audit", "verify", "no-such-chain"]) == 1


async def _forge(databases: ModuleDatabases) -> None:
    owner = await asyncpg.connect(databases.control_owner)
    await owner.execute(
        "update audit_events set actor = 'somebody else' where chain = $1 and number = 1", TENANT
    )
    await owner.close()


def test_the_doctor_names_what_works_and_what_does_not(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, queue_url: str
) -> None:
    monkeypatch.setenv("OPENKCM_CONTROL__REDIS", queue_url)
    assert run(["doctor", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    levels = {finding["about"]: finding["level"] for finding in told["findings"]}
    assert levels["control.web_database"] == levels["control.worker_database"] == "ok"
    assert levels["control.redis"] == "ok"
    assert levels["pins"] == "bad"
    sources = {line["name"]: line["source"] for line in told["settings"]}
    assert sources["control.redis"] == "OPENKCM_CONTROL__REDIS"
    monkeypatch.setenv("OPENKCM_CONTROL__REDIS", "unix:///nowhere/at/all.sock")
    assert run(["doctor"]) == 1
    printed = capsys.readouterr().out
    assert "FAILS  control.redis" in printed
    assert "openkcm_worker:" not in printed


def test_the_doctor_sees_a_settings_file_that_others_may_read(
    installation_of_one: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    installation_of_one.chmod(0o644)
    run(["doctor", "--json"])
    told = json.loads(capsys.readouterr().out)
    (finding,) = [finding for finding in told["findings"] if finding["about"] == "settings"]
    assert finding["level"] == "risk"


@pytest.mark.parametrize(
    "flag", ["tenants.short_grace", "crypto.short_grace", "control.unsafe_without_step_up"]
)
def test_the_doctor_shows_development_flags_as_risks(
    flag: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REGION", "DATABASE", "ROOT_FILE", "STATE_DIRECTORY"):
        monkeypatch.setenv(f"OPENKCM_CRYPTO__{name}", "north")
    monkeypatch.setenv(f"OPENKCM_{flag.replace('.', '__').upper()}", "true")
    run(["doctor", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert {finding["level"] for finding in told["findings"] if finding["about"] == flag} == {"risk"}


def test_the_doctor_says_how_long_keys_are_kept_under_the_development_flag(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENKCM_TENANTS__SHORT_GRACE", "true")
    monkeypatch.setenv("OPENKCM_TENANTS__KEY_WAIT_S", "20")
    run(["doctor", "--json"])
    found = json.loads(capsys.readouterr().out)["findings"]
    (said,) = [finding["said"] for finding in found if finding["about"] == "tenants.short_grace"]
    assert (
        "a deleted tenant's are kept for 30\u00a0d, a single one that is to be destroyed for 20\u00a0s."
        in said
    )


def test_what_a_source_names_and_cannot_be_used_is_listed_with_its_place(
    databases: ModuleDatabases, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["tenants", "problems"]) == 0
    assert "can be used" in capsys.readouterr().out
    asyncio.run(_on(databases, _problems("key given twice")))
    assert run(["tenants", "problems"]) == 0
    said = capsys.readouterr().out
    assert "payments.yaml, line 7 (manifest-invalid" in said
    assert "key given twice" in said
    assert run(["tenants", "problems", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["origin"], found["line"], found["source"]) == ("payments.yaml", 7, "memory")
    assert run(["tenants", "list", "--json"]) == 0
    told = capsys.readouterr()
    assert "1 that a source names cannot be used: openkcm tenants problems" in told.err
    assert json.loads(told.out)
    run(["doctor", "--json"])
    findings = json.loads(capsys.readouterr().out)["findings"]
    (about,) = (each for each in findings if each["about"] == "tenants")
    assert (about["level"], "payments.yaml cannot be used" in about["said"]) == ("warn", True)
    asyncio.run(_on(databases, _problems()))
    assert run(["tenants", "problems"]) == 0
    assert "can be used" in capsys.readouterr().out


async def _problems(*messages: str) -> None:
    found = [
        Problem(origin="payments.yaml", line=7, refusal=Refusal.MANIFEST_INVALID, message=each)
        for each in messages
    ]
    await observe("memory", Batch(cursor="2", problems=found, problems_complete=True), SystemClock())
