"""The client's README is a program that runs, before a real region, and its table of errors is the errors."""

from __future__ import annotations

import asyncio
import os
import re
import runpy
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import openkcm_client
from openkcm_client import errors
from openkcm_client.envelope import parse
from openkcm_client.errors import BadCiphertext, Error, FormatError
from openkcm_client.message import unwrap
from openkcm_client.stream import decrypt_stream, unwrap_stream
from tests.client.real_region import TENANT, RealRegion, real_region
from tests.databases import ModuleDatabases

README = (Path(__file__).parents[2] / "clients" / "openkcm-client" / "README.md").read_text()
WITH_REGION, ALONE = README.split("## The format alone")


def snippets(text: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
async def real(databases: ModuleDatabases, tmp_path: Path) -> AsyncIterator[RealRegion]:
    async with real_region(databases, tmp_path) as made:
        yield made


@pytest.mark.integration
async def test_the_quick_start_and_what_follows_run_before_a_region(
    real: RealRegion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENKCM_TOKEN", await real.token())
    backup = os.urandom(2**21 + 12_345)
    Path("backup.tar").write_bytes(backup)
    told = snippets(WITH_REGION)
    assert len(told) == 4
    program = "\n".join(told).replace("http://127.0.0.1:8081", real.process.data)
    assert program.count(real.process.data) == 3
    Path("readme.py").write_text(program)
    after = await asyncio.to_thread(runpy.run_path, "readme.py")
    assert Path("restored.tar").read_bytes() == backup
    async with openkcm_client.AsyncClient(
        real.process.data, tenant=TENANT, credentials=os.environ["OPENKCM_TOKEN"]
    ) as kcm:
        assert await kcm.decrypt(after["message"], b"row 7") == b"4111 1111 1111 1111"


def test_the_snippets_of_the_format_run_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    backup = os.urandom(2**21 + 12_345)
    Path("backup.tar").write_bytes(backup)
    told = snippets(ALONE)
    assert len(told) == 3
    Path("readme.py").write_text("\n".join(told))
    after: dict[str, Any] = runpy.run_path("readme.py")
    assert Path("restored.tar").read_bytes() == backup
    assert not Path("restored.part").exists()

    names = (after["new_l3"], "acme", "default")  # what the last snippet leaves opens under the new key alone
    key = unwrap(names[0], parse(after["message"]), *names[1:])
    assert key.decrypt(after["message"], b"row 17") == b"4111 1111 1111 1111"
    with Path("backup.okcm").open("rb") as source:
        read = decrypt_stream(
            source, lambda head: unwrap_stream(names[0], head, *names[1:]), b"backup of 2026-11-27"
        )
        assert b"".join(read) == backup
    with Path("backup.okcm").open("rb") as source, pytest.raises(BadCiphertext):
        list(decrypt_stream(source, after["find"], b"backup of 2026-11-27"))


def test_every_error_is_in_the_readme() -> None:
    named = re.findall(r"^\| `(\w+)` \|", README, flags=re.MULTILINE)
    public = {name for name in openkcm_client.__all__ if is_error(getattr(openkcm_client, name))}
    of_the_format = {name for name, kind in vars(errors).items() if is_error(kind)}
    assert sorted(named) == sorted((public | of_the_format) - {Error.__name__, FormatError.__name__})


def is_error(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Error)
