"""The installation that a module of tests runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.databases import ModuleDatabases
from tests.provisioning.site import Site, running_site

ALL = ("local", "eu-1", "web", "worker")


@pytest.fixture(scope="module")
def installed(databases: ModuleDatabases, queue_url: str) -> Iterator[Site]:
    """Two regions, web and one worker."""
    with running_site(databases, queue_url, *ALL) as made:
        yield made


@pytest.fixture
def site(installed: Site) -> Site:
    """The same; whatever a test before has ended runs again, and the mail server is kind again."""
    installed.whole(*ALL)
    installed.mail.come_back()
    installed.mail.post.answers.clear()
    installed.mail.post.refused.clear()
    return installed
