"""What callers did, from their calls to the page, the files and the proof: on a running installation of two regions."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.activation.walk import Walk, walking
from tests.databases import REGIONS, ModuleDatabases
from tests.parts import require
from tests.provisioning.consistent import RECORD, decrypted, encrypted
from tests.provisioning.processes import until
from tests.provisioning.site import Site, running_site, wait_done
from tests.web.test_browser import CHROMIUM

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.browser]

_COUNTED = """select coalesce(sum(count), 0)::int as uses from use_entries where tenant = $1 and actor like 'caller:%'
    and verb in ('encrypt', 'decrypt')"""
_KEPT = """select count(distinct object) as regions from audit_events
    where chain = $1 and verb = 'uses:checkpoint:keep'"""


@pytest.fixture(scope="module")
def site(databases: ModuleDatabases, queue_url: str) -> Iterator[Site]:
    require("chromium", CHROMIUM.exists(), f"looked for {CHROMIUM}; OPENKCM_TEST_CHROMIUM names another")
    with running_site(databases, queue_url) as made:
        worker = made.home / "worker.toml"
        worker.write_text(worker.read_text().replace("[worker]\n", "[worker]\ncheckpoint_every_s = 2\n"))
        made.start(*REGIONS, "web", "worker")
        yield made


@pytest.fixture(scope="module")
def walk(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    with walking(site, tmp_path_factory.mktemp("walk")) as made:
        yield made


@pytest.fixture(scope="module")
def used(walk: Walk) -> Walk:
    """Each region has encrypted three times and decrypted twice, and that is written down."""
    site, tenant = walk.site, walk.account.id
    for region in REGIONS:
        messages = [encrypted(site, region, tenant) for _ in range(3)]
        for message in messages[:2]:
            assert message is not None
            assert decrypted(site, region, tenant, message) == RECORD
    for region in REGIONS:
        until(partial(_wrote, site, region, tenant), what=f"{region} wrote", within_s=25)
    return walk


def _wrote(site: Site, region: str, tenant: str) -> bool:
    return counted(site, region, tenant) == 5


def counted(site: Site, region: str, tenant: str) -> int:
    row = site.one(_COUNTED, tenant, database=region)
    assert row is not None
    return int(row["uses"])


def shown(walk: Walk) -> list[list[str]]:
    """The table's cells, row by row."""
    rows = walk.page.locator("#found tbody tr")
    return [
        [cell.strip() for cell in rows.nth(at).locator("th, td").all_inner_texts()]
        for at in range(rows.count())
    ]


def by_what(walk: Walk) -> dict[tuple[str, str], int]:
    """How many uses the table shows, by what was done and region."""
    found: dict[tuple[str, str], int] = {}
    for row in shown(walk):
        if row[2] in ("Encrypt", "Decrypt"):
            found[row[2], row[6]] = found.get((row[2], row[6]), 0) + int(row[5])
    return found


def test_the_page_says_what_callers_did_and_narrows_without_a_reload(used: Walk) -> None:
    used.page.get_by_role("link", name="Overview").click()
    used.page.get_by_role("link", name="Uses", exact=True).click()
    used.page.get_by_role("heading", name="Uses", exact=True).wait_for()
    each = {("Encrypt", region): 3 for region in REGIONS} | {("Decrypt", region): 2 for region in REGIONS}
    assert by_what(used) == each
    assert used.page.get_by_role("heading", name=re.compile("10 done, 0 refused")).count() == 1
    used.page.evaluate("() => { window.same = true; }")
    used.page.get_by_label("Region").select_option(REGIONS[0])
    used.page.get_by_role("heading", name=re.compile("5 done, 0 refused")).wait_for()
    assert by_what(used) == {name: count for name, count in each.items() if name[1] == REGIONS[0]}
    assert f"region={REGIONS[0]}" in used.page.url
    used.page.get_by_label("What", exact=True).fill("decrypt")
    used.page.keyboard.press("Enter")
    used.page.get_by_role("heading", name=re.compile("2 done, 0 refused")).wait_for()
    assert by_what(used) == {("Decrypt", REGIONS[0]): 2}
    assert used.page.evaluate("() => window.same") is True
    used.page.reload()
    assert by_what(used) == {("Decrypt", REGIONS[0]): 2}, "the address says all of it"
    used.page.get_by_label("Outcome").select_option("refused")
    used.page.get_by_text("No uses in this time").wait_for()


def exported(walk: Walk, words: str, directory: Path) -> Path:
    """The file behind a button of the page."""
    walk.open("/uses")
    with walk.page.expect_download() as download:
        walk.page.get_by_role("link", name=words).click()
    path = directory / download.value.suggested_filename
    download.value.save_as(path)
    return path


def verified(site: Site, *arguments: str, status: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(site.openkcm("audit", "verify", *arguments, "--json", status=status))
    return found


@pytest.mark.parametrize(
    "words", ["Uses, CSV", "Uses, JSON Lines", "Decisions, CSV", "Decisions, JSON Lines"]
)
def test_a_file_of_the_page_is_proven_by_pins_alone_and_a_changed_one_is_not(
    used: Walk, tmp_path: Path, words: str
) -> None:
    path = exported(used, words, tmp_path)
    proof = verified(used.site, "--file", str(path))
    assert proof["whole"]
    text = path.read_text()
    if words.startswith("Uses"):
        mine = [chain for chain in proof["chains"] if chain["chain"].startswith(used.account.id)]
        assert len(mine) == 2
        assert any("everything up to then is proven, nothing after it" in said for said in proof["remarks"])
        changed = text.replace("caller:", "caller:x", 1)
    else:
        assert [chain["chain"] for chain in proof["chains"]] == [used.account.id]
        changed = text.replace("keychain:key:make", "keychain:key:none", 1)
    assert changed != text
    path.write_text(changed, newline="")
    faulty = verified(used.site, "--file", str(path), status=1)
    assert not faulty["whole"]
    assert not any("everything" in said for said in faulty["remarks"])


def test_the_command_line_exports_and_proves_the_same(used: Walk, tmp_path: Path) -> None:
    site, tenant = used.site, used.account.id
    path = tmp_path / "uses.csv"
    site.openkcm("audit", "export", tenant, "--uses", "--out", str(path))  # its name says the form
    with path.open(newline="") as file:
        rows = [
            row
            for row in csv.DictReader(file)
            if row["kind"] == "entry" and row["actor"].startswith("caller:")
        ]
    assert sum(int(row["count"]) for row in rows if row["verb"] in ("encrypt", "decrypt")) == 10
    assert verified(site, "--file", str(path))["whole"]
    lines = site.openkcm("audit", "export", tenant, "--config").splitlines()
    assert json.loads(lines[0])["verb"] == "config"
    assert json.loads(lines[-1])["kind"] == "end"
    assert "Say which log" in site.openkcm("audit", "export", tenant, status=2)


def test_control_keeps_checkpoints_and_the_whole_is_proven_against_them(used: Walk) -> None:
    site, tenant = used.site, used.account.id
    until(lambda: site.one(_KEPT, tenant) == {"regions": 2}, what="checkpoints of both regions", within_s=15)
    proof = verified(site, tenant)
    assert proof["whole"], proof
    log = proof["chains"][0]
    assert log["chain"] == tenant
    assert 0 < log["signed"] <= log["entries"]
    assert {chain["chain"].split("/")[1] for chain in proof["chains"][1:]} == set(REGIONS)
    assert verified(site)["whole"], "every chain of control's own log"


def test_another_accounts_uses_are_nobodys_to_see(used: Walk) -> None:
    other = used.site.account()
    wait_done(used.site, other.id)
    for path in ("/uses", "/uses/export?of=uses&form=csv"):
        answer = used.page.request.get(f"{used.site.public_url}/t/{other.id}{path}", max_redirects=0)
        assert answer.status in (303, 401), path
        assert other.id not in answer.text()


def test_what_is_wrong_in_the_filter_is_said_with_and_without_a_reload(used: Walk) -> None:
    used.open("/uses")
    used.page.get_by_label("Caller").fill("A Caller!")
    used.page.keyboard.press("Enter")
    used.page.get_by_role("alert").get_by_text("A caller's name: small letters").wait_for()
    answer = used.page.request.get(f"{used.site.public_url}/t/{used.account.id}/uses?key=12")
    assert answer.status == 422
    assert "A whole key id: 32 hex digits." in answer.text()


def test_a_region_that_does_not_answer_is_named_and_no_file_pretends_to_be_whole(used: Walk) -> None:
    used.site.stop(REGIONS[1])
    try:
        used.open("/uses")
        used.page.get_by_text(f"What was used in {REGIONS[1]} is not shown").wait_for()
        assert by_what(used) == {("Encrypt", REGIONS[0]): 3, ("Decrypt", REGIONS[0]): 2}
        answer = used.page.request.get(
            f"{used.site.public_url}/t/{used.account.id}/uses/export?of=uses&form=csv"
        )
        assert answer.status == 503
        assert REGIONS[1] in answer.text()
        proof = verified(used.site, used.account.id, status=1)
        assert any(REGIONS[1] in wrong and "not proven" in wrong for wrong in proof["wrong"])
    finally:
        used.site.start(REGIONS[1])
