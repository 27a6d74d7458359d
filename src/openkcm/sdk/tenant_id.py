"""The form of a tenant's id: it stands in associated data, file names and addresses, and is never renamed."""

from __future__ import annotations

import re

from openkcm.sdk.refusals import Permanent, Refusal, Remedy

MAX_CHARACTERS = 63
_FORM = re.compile(rb"[a-z0-9][a-z0-9-]{0,62}")


def is_tenant_id(text: str) -> bool:
    """Whether ``text`` has the form of a tenant id: ``[a-z0-9][a-z0-9-]{0,62}``, ASCII alone."""
    return _FORM.fullmatch(text.encode("utf-8", "surrogatepass")) is not None


def checked_tenant_id(text: str) -> str:
    """``text`` itself, which has the form of a tenant id.

    Raises:
        Permanent: ``TENANT_ID_INVALID``; the text is named in a printable form, cut at 80 characters.
    """
    if is_tenant_id(text):
        return text
    raise Permanent(
        Refusal.TENANT_ID_INVALID,
        f"{ascii(text)[:80]} cannot be a tenant's id: an id is 1 to 63 small letters, digits and hyphens, "
        "and does not begin with a hyphen.",
        remedy=Remedy(
            "Take the id as the platform wrote it; ids of another form are not supported.",
            "Platform operator",
            "reference/tenant-sources#ids",
        ),
    )
