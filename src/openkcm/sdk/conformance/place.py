"""The place where tenants appear, as the kit for tenant sources handles it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime

from openkcm.sdk.tenant_source import TenantSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A tenant as the kit wants it placed. ``tenant_id`` is the identity it must be observed with."""

    name: str
    tenant_id: str
    parent: str = "2orgparent000000"
    display_name: str = ""
    creator: str = "jane@acme.example"


PAYMENTS = Placed(name="payments", tenant_id="2hy7gk1p3c0zq9xv")
LEDGERS = Placed(name="ledgers", tenant_id="3ab8hl2q4d1ar0yw")


class Place(ABC):
    """The plugin's own place, in the hands of a test: the folder, or the fake of the system that it speaks to."""

    @abstractmethod
    def open(self) -> TenantSource:
        """A new source looking at this place, as after a restart."""

    @abstractmethod
    def put(self, tenant: Placed) -> None:
        """The tenant is there."""

    @abstractmethod
    def remove(self, tenant: Placed) -> None:
        """The tenant is not there any more; nobody said that it is deleted."""

    @abstractmethod
    def delete(self, tenant: Placed, *, at: datetime) -> None:
        """The place says explicitly that the tenant is being deleted."""

    def spoil(self) -> str:
        """Something unusable is there; answers the word by which a problem has to name it. Ability ``problems``."""
        raise AssertionError("a place with the ability problems says how to spoil it")

    def mend(self) -> None:
        """What was spoilt is gone."""
        raise AssertionError("a place with the ability problems says how to mend it")

    def go_away(self) -> None:
        """The whole place cannot be reached. Ability ``outage``."""
        raise AssertionError("a place with the ability outage says how to go away")

    def come_back(self) -> None:
        """The place is there again as it was."""
        raise AssertionError("a place with the ability outage says how to come back")

    def status_of(self, tenant: Placed) -> str:
        """The status as it stands in the place, as text. Ability ``status``."""
        raise AssertionError("a place with the ability status says what was written")
