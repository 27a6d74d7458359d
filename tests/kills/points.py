"""Facts about how far a tenant has come."""

from __future__ import annotations

from tests.provisioning.processes import until
from tests.provisioning.site import Site


def wait_journal(site: Site, tenant: str, step: str) -> None:
    """The tenant's journal has the step."""
    found = "select from saga_steps where tenant = $1 and step = $2 and direction = 'do'"
    until(lambda: site.one(found, tenant, step), what=f"{step} of {tenant} is done")
