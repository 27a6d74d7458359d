"""What a tenant's applied document allows, as the doors ask it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

import msgspec

from openkcm.crypto.contract import (
    FORMAT,
    Access,
    Desired,
    DesiredCaller,
    DesiredKey,
    KeyDestroy,
    ServiceAccess,
    SignedDesired,
    Verb,
    document_digest,
)
from openkcm.crypto.mark import Mark
from openkcm.crypto.whole import (
    check_connections_said,
    check_end_said,
    check_key_ends_said,
    check_knowledge_said,
)
from openkcm.sdk.refusals import Permanent, Refusal, Remedy
from openkcm_client.enc import enc
from openkcm_client.errors import BadName
from openkcm_client.names import check_name

_PAGE: Final = "reference/crypto-service#refusals"


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A tenant's applied document, read once.

    ``access`` and ``services`` are what counts: as the document says, or stricter by the tightenings that are in force
    beside it; ``words`` are the hashes of the decisions that those come from, in order. ``pending`` are the L3s that
    may be used and are to be destroyed: any use of one stops that.
    """

    tenant: str
    mark: Mark
    desired: Desired
    keys: dict[bytes, DesiredKey]
    active: dict[str, bytes]
    """Service name → the L3 that encrypts."""
    callers: Mapping[str, DesiredCaller]
    access: Access
    services: Mapping[str, ServiceAccess]
    pending: Mapping[bytes, KeyDestroy]
    words: tuple[str, ...] = ()
    stamp: tuple[int, int, int] = field(init=False)
    """What a cached key is bound to besides its id: it changes whenever the document does."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "stamp", self.mark[:3])

    @property
    def digest(self) -> int:
        """This tenant's part of the region's digest: the document's, as control knows it, unless words are in force."""
        part = document_digest(self.tenant, self.mark.generation, self.mark.hash)
        return part ^ _words_digest(self) if self.words else part

    @property
    def said(self) -> dict[str, ServiceAccess]:
        """Which services the document itself restricts."""
        return {service.name: service.access for service in self.desired.services}

    def check_here(self, region: str) -> None:
        """This region may hold the tenant's keys.

        Raises:
            Permanent: REGION_NOT_IN_SET.
        """
        if region not in self.desired.regions:
            raise not_in_set(self.tenant, region)

    def check_not_blocked(self) -> None:
        """The tenant's keys may be used at all.

        Raises:
            Permanent: KEY_DESTROYED, for ever; KEY_BLOCKED; KEY_REVOKED, until a person restores them.
        """
        if self.access == "revoked":
            raise revoked(f"The keys of tenant '{self.tenant}' were")
        if self.access == "blocked":
            if self.desired.destroyed is not None:
                raise destroyed(self.tenant)
            raise Permanent(
                Refusal.KEY_BLOCKED,
                f"Tenant '{self.tenant}' is blocked: its keys neither encrypt nor decrypt.",
                remedy=Remedy(
                    "Ask the tenant's owner or the operator why, and whether it ends.", "owner", _PAGE
                ),
            )

    def encrypting_key(self, service: str) -> bytes:
        """The id of the L3 that encrypts for this service.

        Raises:
            Permanent: KEY_BLOCKED, KEY_REVOKED, KEY_READ_ONLY (it still decrypts), KEY_NOT_ACTIVE.
        """
        key_id = self.active.get(service)
        if self.access == "active" and key_id is not None and service not in self.services:
            return key_id
        self.check_not_revoked(service)
        if self.access != "active" or service in self.services:
            whose = f"tenant '{self.tenant}'" if self.access != "active" else f"service '{service}'"
            raise Permanent(
                Refusal.KEY_READ_ONLY,
                f"The keys of {whose} are read-only: they decrypt and do not encrypt.",
                remedy=Remedy("Have them enabled again to encrypt.", "owner", _PAGE),
            )
        raise Permanent(
            Refusal.KEY_NOT_ACTIVE,
            f"Tenant '{self.tenant}' has no active key for service '{service}' in this region.",
            remedy=Remedy("Wait until provisioning is done, or check the service's name.", "caller", _PAGE),
        )

    def check_not_revoked(self, service: str) -> None:
        """The service's keys may be used at all.

        Raises:
            Permanent: as ``check_not_blocked``; KEY_REVOKED for this service alone.
        """
        self.check_not_blocked()
        if self.services.get(service) == "revoked":
            raise revoked(f"The keys of service '{service}' of tenant '{self.tenant}' were")

    def decrypts(self, service: str, key_id: bytes) -> bool:
        """Whether this key may decrypt for this service.

        Raises:
            Permanent: KEY_BLOCKED, KEY_REVOKED.
        """
        self.check_not_revoked(service)
        key = self.keys.get(key_id)
        usable = key is not None and key.level == "L3" and key.state != "abandoned"
        return usable and key is not None and key.service == service

    def l2_ids(self) -> list[bytes]:
        """The tenant's L2s that may be used, the one that wraps its L3s now first."""
        usable = [i for i, key in self.keys.items() if key.level == "L2" and key.state != "abandoned"]
        return sorted(usable, key=lambda key_id: self.keys[key_id].state != "active")

    def active_l2(self) -> bytes:
        """The L2 that wraps the tenant's L3s.

        Raises:
            Permanent: KEY_NOT_ACTIVE.
        """
        for key_id in self.l2_ids()[:1]:
            if self.keys[key_id].state == "active":
                return key_id
        raise Permanent(
            Refusal.KEY_NOT_ACTIVE,
            f"Tenant '{self.tenant}' has no active tenant key in this region.",
            remedy=Remedy("Wait until provisioning is done.", "caller", _PAGE),
        )

    def l3_ids(self) -> list[bytes]:
        """The tenant's L3s that may be used."""
        return [i for i, key in self.keys.items() if key.level == "L3" and key.state != "abandoned"]

    def check_caller(self, name: str, service: str, verbs: tuple[Verb, ...]) -> None:
        """The document names this caller for the service with at least these verbs.

        Raises:
            Permanent: CALLER_UNKNOWN.
        """
        caller = self.callers.get(name)
        if caller is not None and caller.service == service and all(verb in caller.verbs for verb in verbs):
            return
        raise Permanent(
            Refusal.CALLER_UNKNOWN,
            f"'{name}' is not registered for this use of service '{service}' of tenant '{self.tenant}'.",
            remedy=Remedy("Register the caller for this service and verb.", "owner", _PAGE),
        )


def read(signed: SignedDesired) -> View:
    """The document as a view; its signature is not looked at here.

    Raises:
        Permanent: BAD_REQUEST; not a document of this format, or one that contradicts itself.
    """
    try:
        desired = msgspec.json.decode(signed.document, type=Desired)
        if desired.format != FORMAT:
            raise ValueError("another format")
        check_name(desired.tenant, what="tenant")
        if not 0 <= desired.epoch < 2**63 or not 1 <= desired.generation < 2**63:
            raise ValueError("epoch or generation")
        if len(set(desired.regions)) != len(desired.regions):
            raise ValueError("a region twice")
        keys = {_key_id(key): key for key in desired.keys}
        active = {key.service: key_id for key_id, key in keys.items() if _is_active(key, "L3")}
        if len(keys) != len(desired.keys) or len(active) != sum(_is_active(k, "L3") for k in desired.keys):
            raise ValueError("a key twice, or two that encrypt for one service")
        if sum(_is_active(key, "L2") for key in desired.keys) > 1:
            raise ValueError("two active tenant keys")
        callers = {caller.name: caller for caller in desired.callers}
        if len(callers) != len(desired.callers):
            raise ValueError("a caller twice")
        for caller in desired.callers:
            check_name(caller.name, what="caller")
            check_name(caller.service, what="service")
        services = {service.name: service.access for service in desired.services}
        if len(services) != len(desired.services):
            raise ValueError("a service twice")
        check_connections_said(desired)
        check_knowledge_said(desired)
        check_end_said(desired)
        check_key_ends_said(desired)
    except (msgspec.MsgspecError, ValueError, BadName) as wrong:
        raise Permanent(
            Refusal.BAD_REQUEST, f"The document of desired state is malformed: {wrong}."
        ) from wrong
    digest = sha256(signed.document).hexdigest()
    mark = Mark(signed.signature.serial, desired.epoch, desired.generation, digest)
    return View(
        tenant=desired.tenant,
        mark=mark,
        desired=desired,
        keys=keys,
        active=active,
        callers=callers,
        access=desired.access,
        services=services,
        pending={
            key_id: key.destroy
            for key_id, key in keys.items()
            if key.destroy is not None and key.level == "L3" and key.state != "abandoned"
        },
    )


def _words_digest(view: View) -> int:
    return int.from_bytes(sha256(enc("words", view.tenant, *view.words)).digest())


def destroyed(tenant: str) -> Permanent:
    """The refusal of everything that wants keys which are no more."""
    return Permanent(
        Refusal.KEY_DESTROYED,
        f"The keys of tenant '{tenant}' were destroyed: what they encrypted cannot be read again.",
        remedy=Remedy(
            "Nothing brings them back; the certificate says when and where.",
            "nobody",
            "reference/tenants#the-certificate",
        ),
    )


def revoked(what: str) -> Permanent:
    """The refusal of every use of keys that a person has revoked; ``what`` begins the sentence."""
    return Permanent(
        Refusal.KEY_REVOKED,
        f"{what} revoked by a person: they neither encrypt nor decrypt until somebody restores them.",
        remedy=Remedy(
            "Ask the tenant's owner why; restoring brings back what worked before.", "owner", _PAGE
        ),
    )


def not_in_set(tenant: str, region: str) -> Permanent:
    """The refusal of a region that the tenant's keys may not be in."""
    return Permanent(
        Refusal.REGION_NOT_IN_SET,
        f"Region '{region}' is not in the region set of tenant '{tenant}'.",
        remedy=Remedy("Widen the tenant's region set first, if that is wanted.", "owner", _PAGE),
    )


def _is_active(key: DesiredKey, level: str) -> bool:
    return key.level == level and key.state == "active"


def _key_id(key: DesiredKey) -> bytes:
    raw = bytes.fromhex(key.key_id)
    if len(raw) != 16 or raw.hex() != key.key_id:
        raise ValueError("a key id has 32 lower-case hex digits")
    if key.level == "L2" and key.service:
        raise ValueError("a tenant key belongs to no service")
    if key.level == "L3":
        check_name(key.service, what="service")
    return raw
