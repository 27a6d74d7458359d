"""The client's wheel by itself: few packages, all that it offers, and no HTTP for who reads the format alone."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest

import openkcm_client
from tests.contracts.tree import ROOT

FORMAT = ("envelope", "message", "stream", "rewrap", "wrapping", "enc", "errors", "names", "xaes", "segments")


def run(code: str, python: Path | str = sys.executable) -> str:
    done = subprocess.run(
        [str(python), "-I", "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_formats_modules_load_no_http_and_no_event_loop() -> None:
    code = "import json, sys\n" + "\n".join(f"import openkcm_client.{name}" for name in FORMAT)
    loaded = set(json.loads(run(f"{code}\nprint(json.dumps(sorted(sys.modules)))")))
    assert loaded & {"httpx2", "httpcore2", "anyio", "asyncio", "ssl", "openkcm"} == set()


def test_every_public_name_is_there_and_nothing_else_is() -> None:
    assert all(getattr(openkcm_client, name).__name__ == name for name in openkcm_client.__all__)
    assert set(openkcm_client.__all__) <= set(dir(openkcm_client))
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = openkcm_client.Nothing


@pytest.mark.slow
def test_the_wheel_installs_alone_with_at_most_20_packages(tmp_path: Path) -> None:
    home = tmp_path / "venv"
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    pip = [str(python), "-m", "pip", "-q", "--disable-pip-version-check"]
    client = str(ROOT / "clients/openkcm-client")
    subprocess.run([*pip, "wheel", "--no-deps", "-w", str(tmp_path), client], check=True, timeout=300)
    (wheel,) = tmp_path.glob("*.whl")
    # Versions as the product has them, which the build of the product proved; hashes are for files of an index.
    pinned = tmp_path / "pins.txt"
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = [line for line in lines if line[:1].isalnum() and "==" in line]
    pinned.write_text("\n".join(line.rstrip(" \\") for line in pins))
    subprocess.run([*pip, "install", "-c", str(pinned), str(wheel)], check=True, timeout=300)
    listed = json.loads(
        subprocess.run(
            [str(python), "-m", "pip", "list", "--format", "json", "--disable-pip-version-check"],
            check=True,
            capture_output=True,
            text=True,
            timeout=120,
        ).stdout
    )
    names = {package["name"] for package in listed} - {"pip", "setuptools"}
    assert "openkcm-client" in names
    assert "openkcm" not in names
    assert len(names) <= 20, sorted(names)
    run(
        "from openkcm_client import *; print(Client('https://r.example', tenant='acme', credentials='t'))",
        python,
    )
