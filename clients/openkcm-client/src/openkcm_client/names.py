"""The form of tenant and service names, which stand in associated data for ever."""

from __future__ import annotations

import re

from openkcm_client.errors import BadName

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def check_name(name: str, *, what: str) -> str:
    """The name, which is now known to have the one form that tenants and services have.

    Raises:
        BadName: it does not match ``[a-z0-9][a-z0-9-]{0,62}``, or is no str.
    """
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise BadName(f"a {what} name has 1 to 63 characters of a-z, 0-9 and '-' and does not begin with '-'")
    return name
