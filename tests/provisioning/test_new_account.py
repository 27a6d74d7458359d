"""A new account from its manifest to its mail, in two real regions; and what does not keep it from being ready."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.databases import ModuleDatabases
from tests.provisioning.site import Site, running_site, wait_done

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def site(databases: ModuleDatabases, queue_url: str) -> Iterator[Site]:
    with running_site(databases, queue_url, "local", "eu-1", "web", "worker") as made:
        yield made


def test_a_new_account_has_its_eight_steps_in_order(site: Site) -> None:
    account = site.account()
    wait_done(site, account.id)
