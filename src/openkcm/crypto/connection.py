"""How a tenant's own root key (L1) is reached, and what its tenant wants while it does not answer. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from typing import Literal

import msgspec

from openkcm.crypto.bounds import GOVERNANCE_S, Choice, Policy
from openkcm_client.enc import enc


class SealedSecret(msgspec.Struct, frozen=True, kw_only=True):
    """One sensitive answer, sealed to one region's public key for this very connection (``secret_context``)."""

    region: str
    field: str
    sealed: bytes


class DesiredConnection(msgspec.Struct, frozen=True, kw_only=True):
    """One root key of a tenant and the way to it. ``version`` rises with each change; ``id`` stays.

    ``answers`` are those that are not sensitive; ``subject`` is ours, per tenant, for the key's owner to name.
    """

    id: str
    version: int
    plugin: str
    answers: dict[str, str]
    subject: str = ""
    secrets: tuple[SealedSecret, ...] = ()


class DesiredPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant's choice for the time of an outage, in seconds, as ``bounds.Policy`` has it."""

    choice: Choice = Choice.LEASE
    outage_s: float | None = None
    doubtful_s: float = 3600.0
    governance_s: float = GOVERNANCE_S[-1]
    encrypting_s: float = 30.0
    decrypting_s: float = 300.0

    @property
    def encrypts_s(self) -> float:
        """As ``bounds.Policy`` has it."""
        return min(self.encrypting_s, self.decrypting_s)

    def policy(self) -> Policy:
        """The policy.

        Raises:
            Permanent: BAD_REQUEST; a window is out of its range.
        """
        return _policy(self)


@lru_cache(maxsize=1024)  # tenants choose alike, and it is asked for with their keys
def _policy(chosen: DesiredPolicy) -> Policy:
    return Policy(**{name: getattr(chosen, name) for name in chosen.__struct_fields__})


def secret_context(
    connection: DesiredConnection, *, region: str, tenant: str, field: str
) -> tuple[str | int | bytes, ...]:
    """What a sensitive answer is sealed to: with another address, CA or role it does not open."""
    told = sorted(connection.answers.items())
    answers = sha256(enc(connection.plugin, *(part for pair in told for part in pair))).digest()
    return (region, tenant, connection.id, field, connection.version, answers)


class CheckItem(msgspec.Struct, frozen=True, kw_only=True):
    """Ask a region to look at a connection from where it stands, whether a document names it yet or not."""

    tenant: str
    connection: DesiredConnection


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One finding of a check. ``bad`` keeps the connection from being used."""

    level: Literal["ok", "warn", "bad"]
    code: str
    said: str
    field: str = ""
    permission: str = ""
    action: str = ""
    who: str = ""
    page: str = ""


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What a region found. ``reference``, ``version`` and ``protection`` describe the root key, empty if unknown."""

    tenant: str
    connection: str
    findings: tuple[Found, ...]
    reference: str = ""
    version: str = ""
    protection: str = ""


class LinksItem(msgspec.Struct, frozen=True, kw_only=True):
    """Ask what became of the ways to customers' root keys since ``since``, of the process that gave this ``run``."""

    run: str = ""
    since: int = 0


class LinkTold(msgspec.Struct, frozen=True, kw_only=True):
    """One way as a region knows it. ``seen`` are the classes of answers since the key last answered, at ``proved_at``.

    ``code`` is the last failing answer's, of the plugin's declaration or our own; ``ends_at`` is when the region stops
    by itself if nothing else happens, None where it has stopped or never served.
    """

    tenant: str
    key_id: str
    connection: str
    verdict: Literal["serve", "suspended", "window-over", "cut-off"]
    seen: tuple[str, ...] = ()
    code: str = ""
    proved_at: datetime | None = None
    ends_at: datetime | None = None


class LinksTold(msgspec.Struct, frozen=True, kw_only=True):
    """Those that changed; ``whole`` if these are all there are, since the process does not know that run."""

    run: str
    number: int
    whole: bool
    links: Sequence[LinkTold]
