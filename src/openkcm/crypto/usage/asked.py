"""Whose uses this region tells control of: the tenants in whose set it is."""

from __future__ import annotations

from openkcm.crypto.here import Here
from openkcm.crypto.view import not_in_set
from openkcm.sdk.refusals import Permanent, Refusal, Remedy
from openkcm_client.names import check_name

PAGE = "reference/audit#uses"


def check_asked(here: Here, tenant: str) -> None:
    """This region is in the tenant's set, whatever may be done with its keys.

    Raises:
        Permanent: TENANT_UNKNOWN, REGION_NOT_IN_SET.
    """
    check_name(tenant, what="tenant")
    view = here.state.views.get(tenant)
    if view is None:
        raise Permanent(
            Refusal.TENANT_UNKNOWN,
            f"This region holds nothing of a tenant '{tenant}'.",
            remedy=Remedy("Ask a region of the tenant's set.", "control", PAGE),
        )
    if here.region not in view.desired.regions:
        raise not_in_set(tenant, here.region)


def bad(words: str) -> Permanent:
    """The refusal of a question that nobody should ask so."""
    return Permanent(Refusal.BAD_REQUEST, words, remedy=Remedy("Correct the request.", "control", PAGE))
