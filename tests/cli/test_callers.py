"""``openkcm callers`` on a real database."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from openkcm.__main__ import run
from tests.cli.test_own_root_keys import place
from tests.crypto.callers.pki import SPIFFE, Authority

pytestmark = pytest.mark.integration
__all__ = ["place"]
CA = Authority()


def add(*options: str) -> int:
    return run(["callers", "add", "acme", "shop", "--no-wait", *options])


def listed(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    capsys.readouterr()
    assert run(["callers", "list", "acme", "--json"]) == 0
    found: list[dict[str, object]] = json.loads(capsys.readouterr().out)
    return [each for each in found if each["trust"] is not None]


@pytest.mark.usefixtures("place")
def test_each_kind_is_added_listed_and_removed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    authority, certificate = tmp_path / "ca.pem", tmp_path / "leaf.pem"
    authority.write_text(f"noise\n{CA.pem}")
    certificate.write_text(CA.issue("a").pem)
    kinds = {
        "certificate": ["--certificate-authority", str(authority), "--name", SPIFFE],
        "pinned": ["--certificate", str(certificate), "--verbs", "rewrap, encrypt"],
        "issuer": ["--issuer", "https://issuer.example", "--subject", "s", "--issuer-ca", str(authority)],
    }
    for kind, options in kinds.items():
        assert add(*options, "--request", f"add-{kind}") == 0
        assert add(*options, "--request", f"add-{kind}") == 0  # the same again
        (found,) = listed(capsys)
        assert found["trust"]["kind"] == kind  # type: ignore[index] # a document of JSON
        assert run(["callers", "list", "acme"]) == 0
        assert "shop" in capsys.readouterr().out
        assert run(["callers", "remove", "acme", "shop", "--yes", "other", "--no-wait"]) == 1
        assert run(["callers", "remove", "acme", "shop", "--yes", "shop", "--no-wait", "--json"]) == 0
        assert listed(capsys) == []
        assert run(["callers", "remove", "acme", "shop", "--yes", "shop", "--no-wait"]) == 1
        assert "no application of that name" in capsys.readouterr().err


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--name", "a"],
        ["--issuer", "https://issuer.example"],
        ["--issuer-ca", "x.pem"],
        ["--certificate", "x.pem", "--issuer", "https://issuer.example", "--subject", "s"],
    ],
)
def test_one_of_the_three_kinds_is_wanted_whole(options: list[str]) -> None:
    assert add(*options) == 2


@pytest.mark.usefixtures("place")
def test_a_refusal_says_what_to_do_and_repeats_no_secret(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    leaf = CA.issue("a")
    both = tmp_path / "both.pem"
    both.write_text(leaf.pem + leaf.key_pem)
    assert add("--certificate", str(both)) == 1
    said = capsys.readouterr().err
    assert "trust-invalid" in said
    assert "reference/callers#what-proves-a-caller" in said
    assert leaf.key_pem.splitlines()[1] not in said
    assert add("--certificate", str(tmp_path / "nothing.pem")) == 1
    assert "nothing.pem is not there." in capsys.readouterr().err
    (tmp_path / "der.pem").write_bytes(b"\x30\x82\xff")
    assert add("--certificate", str(tmp_path / "der.pem")) == 1
    assert "der.pem is not text." in capsys.readouterr().err
    assert run(["callers", "add", "acme", "Bad_Name", "--certificate", str(both)]) == 1
    assert "A caller name has 1 to 63 characters of a-z, 0-9 and '-' and does not begin with '-'. What" in (
        capsys.readouterr().err
    )
    assert add("--issuer", "https://issuer.example", "--subject", "s", "--service", "none") == 1
    assert add("--issuer", "https://issuer.example", "--subject", "s", "--verbs", "destroy") == 1
    assert run(["callers", "list", "nobody"]) == 1
    assert listed(capsys) == []
