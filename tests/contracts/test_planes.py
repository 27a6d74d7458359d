"""What a process loads: control never what opens keys or speaks to a key store, and nothing before it needs it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.contracts.tree import CORE

#: Top-level packages that neither control process may load by being imported.
PROVIDERS = {
    "grpc",
    "google",
    "botocore",
    "boto3",
    "azure",
    "pkcs11",
    "alembic",
    "sqlalchemy",
    "kmip",
    "hvac",
}
#: What control may load of the crypto plane: the contract and its parts, the rules that both sides keep,
#: its client, what that checks signatures by.
OFFERED = {
    "openkcm.crypto",
    "openkcm.crypto.asking",
    "openkcm.crypto.believed",
    "openkcm.crypto.believed_uses",
    "openkcm.crypto.bounds",
    "openkcm.crypto.client",
    "openkcm.crypto.connection",
    "openkcm.crypto.contract",
    "openkcm.crypto.contract_ends",
    "openkcm.crypto.contract_hand_over",
    "openkcm.crypto.contract_keys",
    "openkcm.crypto.contract_knowledge",
    "openkcm.crypto.contract_uses",
    "openkcm.crypto.covered",
    "openkcm.crypto.desired",
    "openkcm.crypto.exchange",
    "openkcm.crypto.settings",
    "openkcm.crypto.signed_answers",
    "openkcm.crypto.trust",
    "openkcm.crypto.trust_checked",
}


def loaded(module: str) -> set[str]:
    """The names in ``sys.modules`` after a fresh interpreter, without any settings, imported ``module``."""
    code = f"import {module}, sys, json; print(json.dumps(sorted(sys.modules)))"
    command = [sys.executable, "-I", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env={}, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def root(module: str) -> bool:
    """Whether a composition root is built, as a module or as a package."""
    return (CORE / f"{module}.py").exists() or (CORE / module / "__init__.py").exists()


@pytest.mark.parametrize("name", [name for name in ("app", "worker") if root(name)])
def test_control_loads_no_provider_and_nothing_of_the_crypto_plane_but_its_contract(name: str) -> None:
    modules = loaded(f"openkcm.{name}")
    assert {module.split(".")[0] for module in modules} & PROVIDERS == set()
    assert {module for module in modules if module.startswith("openkcm.crypto")} <= OFFERED


@pytest.mark.parametrize("name", [name for name in ("app", "worker", "settings") if root(name)])
def test_control_never_loads_what_runs_plugins_of_key_stores(name: str) -> None:
    assert {module for module in loaded(f"openkcm.{name}") if "crypto.hosts" in module} == set()


def test_the_contract_between_the_planes_loads_no_server_and_no_database() -> None:
    tops = {module.split(".")[0] for module in loaded("openkcm.crypto.contract")}
    assert tops & {"litestar", "uvicorn", "asyncpg", "piccolo", "arq"} == set()
