"""``openkcm up`` as somebody uses it: one command, an account appears, its owner encrypts a record."""

from __future__ import annotations

import base64
import re
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from openkcm.embedded.files import make_directory, remove_tree
from openkcm.embedded.state import open_mode
from tests.e2e.product import Product, account, alive, first_record, signed_in, until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
TENANT = "6b1f9c2e-7f0a-4d8e-9a55-0d9a2b7b1c11"


@pytest.fixture(scope="module")
def product() -> Iterator[Product]:
    home = Path(tempfile.mkdtemp(prefix="okcm-e2e-", dir="/tmp"))
    make_directory(home, open_mode())
    made = Product(home)
    yield made
    if made.ended() is None:
        made.stop()
    remove_tree(home)


def test_an_account_appears_and_its_owner_encrypts_a_record(product: Product) -> None:
    with product.up():
        (product.manifests / "payments.yaml").write_text(account(TENANT))
        until(lambda: (product.tenant(TENANT) or {}).get("state") == "ready")
        with signed_in(product, TENANT) as browser:
            assert "Platform-managed key" in browser.get(f"{product.addresses()['web']}/t/{TENANT}").text
            commands = first_record(product, browser, TENANT)
        done = subprocess.run(
            ["sh", "-eu"],
            input=commands,
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
        stored, record = done.stdout.strip().splitlines()
        assert record == "my first record"
        assert base64.b64decode(stored.removeprefix("Stored: "), validate=True).startswith(b"OKCM")
        assert "whole" in product.command("audit", "verify")
        assert "Everything that is set up works." in product.command("doctor")


def test_ctrl_c_leaves_no_process_no_lock_and_no_run_file(product: Product) -> None:
    with product.up():
        pids = product.processes()
        ports = [
            int(address.rpartition(":")[2])
            for name, address in product.addresses().items()
            if "://" in address
        ]
        assert len(pids) == 5
        assert product.stop() == 0
    assert not any(map(alive, pids))
    assert not (product.state / "run.json").exists()
    assert not (product.state / "lock").exists()
    for port in ports:
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_second_start_knows_the_account_and_takes_other_ports_where_its_own_are_taken(
    product: Product,
) -> None:
    with product.up():
        usual = int(product.addresses()["web"].rpartition(":")[2])
    with socket.create_server(("127.0.0.1", usual)), product.up():
        assert "is taken; the web interface is on" in product.said()
        assert int(product.addresses()["web"].rpartition(":")[2]) != usual
        assert (product.tenant(TENANT) or {})["state"] == "ready"


def test_a_plugin_that_is_left_out_is_named_where_it_says_that_it_is_ready_with_what_to_do(
    product: Product,
) -> None:
    product.settings = {"OPENKCM_PLUGINS__KEYSTORE_GONE__REGION": "eu"}
    try:
        with product.up():
            until(lambda: "Stop with Ctrl-C" in product.said())
            told = [line for line in product.said().splitlines() if "Left out" in line]
    finally:
        product.settings = {}
    assert len(told) == 1
    assert told[0].startswith(
        "  Left out   keystore-gone: There are settings for keystore-gone, which is not"
    )
    assert told[0].endswith("Install it with pip, or remove the settings.")


def test_two_do_not_share_a_state_directory(product: Product) -> None:
    with product.up():
        second = Product.__new__(Product)
        second.__dict__.update(product.__dict__, output=product.output.with_name("second.log"))
        second.start()
        assert second.wait_ended() == 1
        assert "already-running" in second.said()
        assert product.ended() is None


def test_no_log_holds_a_key_a_token_or_a_password(product: Product) -> None:
    with product.up():
        link = Path(product.command("tenants", "sign-in", TENANT).strip()).read_text().strip()
        httpx2.get(link, headers={"accept": "text/html"}, trust_env=False)
        secrets = [
            link.rpartition("/")[2],
            *re.findall(r'": "([^"]{20,})"', (product.state / "databases.json").read_text()),
        ]
        assert len(secrets) > 3
    logs = [product.output, *product.state.glob("logs/*.log"), *product.state.glob("*/*.log")]
    written = "".join(log.read_text(errors="replace") for log in logs)
    assert written
    assert [secret for secret in secrets if secret in written] == []


@pytest.mark.parametrize(
    ("what", "code"), [("mode", "file-mode"), ("gone", "root-missing"), ("other", "database-foreign")]
)
def test_a_start_that_would_be_wrong_is_refused_in_words_and_heals(
    product: Product, what: str, code: str
) -> None:
    root, control = product.state / "regions/local/root.json", product.state / "control/installation"
    kept, installation = root.read_bytes(), control.read_text()
    if what == "mode":
        root.chmod(0o644)
    elif what == "gone":
        root.unlink()
    else:
        control.write_text("0" * 32 + "\n")
    product.start()
    assert product.wait_ended() == 1
    assert code in product.said()
    assert root.exists() is (what != "gone"), "a second root was made"
    root.write_bytes(kept)
    root.chmod(0o600)
    control.write_text(installation)
    with product.up():
        assert (product.tenant(TENANT) or {})["state"] == "ready"


def test_ctrl_c_in_the_middle_of_a_first_start_leaves_nothing_and_the_next_start_goes_on() -> None:
    home = Path(tempfile.mkdtemp(prefix="okcm-e2e-", dir="/tmp"))
    make_directory(home, open_mode())
    first = Product(home)
    try:
        first.start()
        until((first.state / "run.json").exists)
        until((first.state / "settings" / "web.toml").exists)
        pids = first.processes()
        assert first.stop() == 0
        assert not any(map(alive, pids))
        assert not (first.state / "lock").exists()
        with first.up():
            assert first.command("tenants", "list").startswith("No tenant yet")
    finally:
        remove_tree(home)
