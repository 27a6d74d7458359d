"""A tenant's own root key on a running installation: linked, silent, through a killed process, refusing, and back."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sysconfig
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from openkcm.embedded.files import make_directory, remove_tree
from openkcm.embedded.state import open_mode
from openkcm.sdk.testing.memory_kms import ADDRESS, MemoryKms
from tests.e2e.busy import busy
from tests.e2e.product import Product, account, first_record, signed_in, until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
TENANT = "6b1f9c2e-7f0a-4d8e-9a55-0d9a2b7b1c12"
RECORD = "bXkgZmlyc3QgcmVjb3Jk"
_ANNOUNCED = Path(__file__).resolve().parents[1] / "announced"


@pytest.fixture
def home() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="okcm-e2e-", dir="/tmp"))
    make_directory(made, open_mode())
    yield made
    remove_tree(made)


def installed(folder: Path) -> str:
    """A Python in which the reference key store is installed beside all that there is: processes of 'openkcm up' see
    nothing of a search path in the environment.
    """
    venv.EnvBuilder(symlinks=True).create(folder)
    paths = {"base": str(folder), "platbase": str(folder)}
    packages = Path(sysconfig.get_path("purelib", "venv", vars=paths))
    ours = sysconfig.get_path("purelib")
    (packages / "ours.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
    for each in _ANNOUNCED.iterdir():
        shutil.copytree(each, packages / each.name)
    return str(folder / "bin" / "python")


class Application:
    """Whoever has the token of the first record."""

    def __init__(self, product: Product, commands: str) -> None:
        self.token = "".join(re.findall(r"Authorization: Bearer ([^']+)'", commands))
        self.authorization = f"Bearer {self.token}"
        self.door = product.addresses()["data"]

    def ask(self, verb: str, **asked: str) -> dict[str, Any]:
        """The answer, or what came in its place."""
        body = {"tenant": TENANT, "service": "default", **asked}
        try:
            answer = httpx2.post(
                f"{self.door}/v1/{verb}",
                json=body,
                headers={"authorization": self.authorization},
                trust_env=False,
            )
        except httpx2.TransportError as failed:
            return {"code": type(failed).__name__}
        found: dict[str, Any] = answer.json()
        return found


def test_a_root_key_of_ones_own_decides_and_its_silence_is_survived_even_by_a_killed_process(
    home: Path,
) -> None:
    kms = MemoryKms(home / "kms")
    settings = {
        "DIRECTORY": str(home / "kms"),
        "HOST_WRITES": str(home / "kms"),
        "DEADLINE_S": "0.5",
    }
    product = Product(
        home,
        python=installed(home / "venv"),
        settings={
            "OPENKCM_CONTROL__UNSAFE_WITHOUT_STEP_UP": "true",
            **{f"OPENKCM_PLUGINS__KEYSTORE_MEMORY__{name}": value for name, value in settings.items()},
        },
    )
    with product.up():
        (product.manifests / "payments.yaml").write_text(account(TENANT))
        until(lambda: (product.tenant(TENANT) or {}).get("state") == "ready")
        with signed_in(product, TENANT) as browser:
            application = Application(product, first_record(product, browser, TENANT))
        message = application.ask("encrypt", plaintext=RECORD)["message"]

        def opened() -> object:
            answer = application.ask("decrypt", message=message)
            return answer.get("plaintext") or answer["code"]

        with busy(application.door, application.token, TENANT) as working:
            until(lambda: all(each.messages for each in working))
            password = linked(product, kms, home)
            before = [len(each.messages) for each in working]
            until(lambda: all(len(each.messages) > many for each, many in zip(working, before, strict=True)))
            product.command("keys", "rotate", TENANT, "default")
        assert [each.failures for each in working] == [[], []]
        assert opened() == RECORD
        product.command("keys", "outage", TENANT, "--choice", "lease")
        until(lambda: list((product.state / "regions/local/state/leases").glob("*.secret")))

        kms.fail("away")
        [crypto] = [each["pid"] for each in product.run_file()["processes"] if each["name"] == "crypto"]
        os.kill(crypto, signal.SIGKILL)
        until(lambda: opened() == RECORD)
        until(lambda: "'no-answer'" in product.command("keys", "list", TENANT))

        kms.change_key("payments", lambda key: setattr(key, "state", "disabled"))
        kms.heal()
        until(lambda: opened() == "key-suspended")
        until(lambda: "nothing is encrypted or decrypted" in product.command("keys", "list", TENANT))

        kms.change_key("payments", lambda key: setattr(key, "state", "enabled"))
        until(lambda: opened() == RECORD)
        until(lambda: "root key is" not in product.command("keys", "list", TENANT))
    written = [product.output, *product.state.glob("logs/*.log"), *product.state.glob("settings/*")]
    assert not [each for each in written if password in each.read_text(errors="replace")]


def linked(product: Product, kms: MemoryKms, home: Path) -> str:
    """The tenant's keys are under the key 'payments' of ``kms``; returns the password that opens the way to it."""
    subject = json.loads(product.command("keystores", "show", TENANT, "--json"))["subject"]
    rights = ["memory:Wrap", "memory:Unwrap", "memory:Describe"]
    password = kms.create("payments", identity="openkcm", rights=rights, names=subject)
    (home / "password").write_text(password)
    answers = [f"address={ADDRESS}", "key=payments", "identity=openkcm"]
    options = [part for each in answers for part in ("--answer", each)]
    made = product.command(
        *("keystores", "connect", TENANT, "--plugin", "memory", *options),
        *("--secret", f"password={home / 'password'}", "--json"),
    )
    connection = json.loads(made)["connection"]
    product.command("keystores", "check", TENANT, connection)
    product.command("keystores", "relink", TENANT, connection, "--yes", TENANT)
    return password
