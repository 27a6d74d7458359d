"""The kit catches what it promises to catch: each planted store fails the test that names its fault."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import defaultdict
from pathlib import Path

import pytest

from openkcm.sdk.conformance.key_store import KeyStoreContract
from tests.contracts.tree import ROOT
from tests.sdk.planted_key_stores import PLANTED
from tests.sdk.planted_wrapping import Honest

ABOUT_PLACES = {
    "test_a_connection_never_shows_its_secrets",
    "test_every_answer_says_where_it_is_known_from",
    "test_every_declared_ability_is_shown",
    "test_the_declaration_is_whole",
    "test_what_the_place_cannot_exists_and_has_a_reason",
}
FILE = "tests/sdk/planted_key_stores.py"


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """By class: the tests that failed, with what they said. An honest store meets all, a planted one what it names."""
    written = tmp_path_factory.mktemp("kit") / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", "--tb=short"]
    tests = [f"{FILE}::Test{each.__name__}{f'::{each.caught_by}' * bool(each.caught_by)}" for each in PLANTED]
    options = ["-W", "ignore::RuntimeWarning", f"--junitxml={written}"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [*command, *options, *tests], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout[-2000:] + done.stderr[-2000:]
    return _failures(written)


def _failures(written: Path) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for case in ET.parse(written).iter("testcase"):  # noqa: S314 - we had it written ourselves
        name = case.attrib["classname"].rpartition(".Test")[2]
        for failure in case.iter("failure"):
            found[name][case.attrib["name"]] = failure.attrib["message"]
        assert not list(case.iter("error")), f"{name} {case.attrib['name']} has an error instead of a failure"
    return found


@pytest.mark.parametrize(
    "store", [each for each in PLANTED if each is not Honest], ids=lambda each: each.__name__
)
def test_a_planted_store_is_caught_by_the_test_that_names_its_fault(
    store: type[Honest], failed: dict[str, dict[str, str]]
) -> None:
    assert store.caught_by in failed[store.__name__], sorted(failed[store.__name__])


def test_every_test_of_the_kit_catches_somebody() -> None:
    """What is about a declaration or a place is shown in ``test_key_place``."""
    named = {store.caught_by.partition("[")[0] for store in PLANTED}
    promised = {name for name in dir(KeyStoreContract) if name.startswith("test_")}
    assert promised - named == ABOUT_PLACES
    assert named - promised == {""}


def test_a_store_with_nothing_wrong_fails_nothing(failed: dict[str, dict[str, str]]) -> None:
    assert "Honest" not in failed


@pytest.mark.parametrize(
    ("store", "test", "said"),
    [
        ("AnswersLate", "test_answers_come_within_the_declared_time", "probe is not answered within 0.1 s"),
        (
            "CodesOfItsOwn",
            "test_a_documented_answer_is_met_under_its_code[key-disabled]",
            "is not documented",
        ),
        (
            "RaisesAnything",
            "test_a_blob_that_was_changed_is_refused_and_proves_nothing",
            "unwrap raises ValueError, which is not Answered",
        ),
        ("LeaksByLog", "test_nothing_secret_is_told_of_a_wrong_credential[identity]", "a log record"),
        (
            "ChecksNothing",
            "test_check_names_a_missing_permission_as_it_is_declared[memory:Unwrap]",
            "missing is memory:Unwrap, found missing is nothing",
        ),
    ],
)
def test_a_failure_says_what_is_wrong(
    store: str, test: str, said: str, failed: dict[str, dict[str, str]]
) -> None:
    assert said in failed[store][test]
