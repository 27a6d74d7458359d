"""A certified OpenID provider as the issuer: its own discovery, keys and tokens, over TLS, at a real region's door."""

from __future__ import annotations

import hashlib
import os
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from openkcm.crypto.contract import DesiredCaller, IssuerTrust
from tests.crypto.callers.applications import HOST, Applications
from tests.crypto.callers.pki import Authority
from tests.crypto.processes import free_port
from tests.parts import require

pytestmark = pytest.mark.integration
ROOT = Path(__file__).resolve().parents[3]
SOURCE = ROOT / "tests" / "oidc_provider"
AUDIENCE = "openkcm:local:acme"


def installed() -> Path:
    """The folder with the provider and what it needs, as its lock file says; installed once."""
    files = [SOURCE / name for name in ("package.json", "package-lock.json", "provider.mjs")]
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]
    folder = ROOT / ".nox" / f"oidc-provider-{digest}"
    if folder.exists():
        return folder
    folder.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as made:
        for file in files:
            shutil.copy(file, made)
        npm = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        subprocess.run(npm, cwd=made, check=True, capture_output=True, timeout=110)
        Path(made).rename(folder)
        Path(made).mkdir()  # what is removed at the end of this block
    return folder


@contextmanager
def provider(authority: Authority, directory: Path) -> Iterator[str]:
    """The address of a running one."""
    issuer = f"https://localhost:{free_port()}"
    certificate, key = authority.issue("localhost").files(directory, "provider")
    process = subprocess.Popen(
        ["node", str(installed() / "provider.mjs"), issuer, str(certificate), str(key)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "NODE_ENV": "production"},
    )
    assert process.stdout is not None
    try:
        lines = iter(process.stdout.readline, "")
        assert "started\n" in lines
        yield issuer
    finally:
        process.kill()
        process.wait(timeout=10)
        process.stdout.close()


async def token(issuer: str, authority: Authority, audience: str) -> str:
    """What the provider gives its client ``backend`` for this audience."""
    context = ssl.create_default_context(cadata=authority.pem)
    form = {"grant_type": "client_credentials", "resource": audience}
    async with httpx2.AsyncClient(verify=context, trust_env=False, timeout=10) as client:
        answer = await client.post(f"{issuer}/token", data=form, auth=("backend", "word-of-the-test"))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


async def test_a_certified_providers_token_gets_one_of_the_region(
    applications: Applications, tmp_path: Path
) -> None:
    require(
        "npm", shutil.which("npm") and shutil.which("node"), "npm and node, for a certified OpenID provider"
    )
    authority = Authority("Provider CA")
    with provider(authority, tmp_path) as issuer:
        trust = IssuerTrust(issuer=issuer, subject="backend", authority=authority.pem)
        caller = DesiredCaller(name="shop", service="default", verbs=("encrypt",), trust=trust)
        await applications.register("acme", caller)
        async with applications.dial(HOST) as shop:
            good = await token(issuer, authority, AUDIENCE)
            answer = await shop.token("acme", assertion=good)
            assert (await shop.encrypt("acme", answer.token)).status_code == 200
            for wrong in (
                await token(issuer, authority, "openkcm:local:blue"),
                good[:-4] + ("AAAA" if not good.endswith("AAAA") else "BBBB"),
            ):
                assert (await shop.exchange("acme", assertion=wrong)).status_code == 403
