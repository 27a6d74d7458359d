"""Nobody is told that an account is ready before its address has answered, whatever else does not wait for that."""

from __future__ import annotations

import json

import pytest

from tests.provisioning.consistent import assert_set_up, journal
from tests.provisioning.processes import until
from tests.provisioning.site import Site, letters, wait_done

pytestmark = pytest.mark.integration


def test_neither_its_source_nor_its_owner_hears_that_it_is_ready_while_its_address_does_not_answer(
    site: Site,
) -> None:
    site.stop("web")
    account = site.account()
    row = until(
        lambda: site.one(
            "select trouble::text from sagas where tenant = $1 and trouble ?& array['publish', 'notify']",
            account.id,
        ),
        what="the address does not answer, and the mail waits for it",
    )
    assert json.loads(row["trouble"])["notify"]["refusal"] == "tenant-not-ready"
    assert ("announce", "do") not in journal(site, account.id)
    status = account.file.with_name(f"{account.file.name}.status.yaml")
    assert not status.exists() or '"ready"' not in status.read_text()
    assert letters(site, account.creator) == []
    site.start("web")
    wait_done(site, account.id)
    assert_set_up(site, account.id)
    assert '"ready"' in status.read_text()
