"""Control and two regions as their operators enrolled them, and the documents that control decides."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import msgspec
from msgspec.structs import replace

from openkcm.crypto.contract import (
    FORMAT,
    Access,
    AgreeItem,
    Desired,
    DesiredCaller,
    DesiredConnection,
    DesiredKey,
    DesiredPolicy,
    DesiredService,
    DestroyPending,
    KeyState,
    Minted,
    SignedDesired,
    covered_agreement,
    covered_desired,
    document_digest,
)
from openkcm.parties.identity import Identity, enrol
from openkcm.parties.key_receipt import SignedKeyReceipt
from openkcm.parties.labels import Record
from openkcm.parties.pins import Pin, Pins
from openkcm.parties.receipt import SignedReceipt
from openkcm.parties.settings import PartiesSettings, PinSetting
from openkcm.parties.signed import sign

AT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
CALLER = DesiredCaller(name="shop", service="default", verbs=("encrypt", "decrypt"))


def pin_setting(identity: Identity) -> PinSetting:
    """The identity's public part as a settings file has it."""
    pin = identity.pin
    return PinSetting(
        kind=pin.kind,
        name=pin.name,
        serial=pin.serial,
        signing=base64.b64encode(pin.signing).decode(),
        sealing=base64.b64encode(pin.sealing).decode(),
        tls_certificate=ssl.DER_cert_to_PEM_cert(pin.tls_certificate),
        tls_sha256=pin.tls_sha256.hex(),
    )


@dataclass
class World:
    """Everybody's identity. ``decided`` counts generations by tenant, as control's database would."""

    directory: Path
    control: Identity = field(init=False)
    local: Identity = field(init=False)
    eu: Identity = field(init=False)
    last: dict[str, SignedDesired] = field(default_factory=dict)
    decided: dict[str, list[str]] = field(default_factory=dict)
    former: list[Pin] = field(default_factory=list)
    keys: dict[str, Sequence[DesiredKey]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.control = enrol(self.directory / "control.json", "control", "control")
        self.local = enrol(self.directory / "local.json", "local", "region")
        self.eu = enrol(self.directory / "eu-1.json", "eu-1", "region")

    @property
    def pins(self) -> Pins:
        return Pins([self.control.pin, self.local.pin, self.eu.pin, *self.former])

    def parties(self, name: str) -> PartiesSettings:
        return PartiesSettings(
            identity=str(self.directory / f"{name}.json"),
            pins=tuple(pin_setting(one) for one in (self.control, self.local, self.eu)),
        )

    def last_keys(self, tenant: str, *, state: KeyState = "active") -> list[DesiredKey]:
        """The keys of the newest document that names any, all in this state."""
        return [replace(key, state=state) for key in self.keys[tenant]]

    def decide(
        self,
        tenant: str,
        *,
        keys: Sequence[DesiredKey] = (),
        regions: Sequence[str] = ("local", "eu-1"),
        access: Access = "active",
        callers: Sequence[DesiredCaller] = (CALLER,),
        epoch: int = 1,
        generation: int | None = None,
        replaces: Sequence[str] | None = None,
        by: Identity | None = None,
        destroy_pending: DestroyPending | None = None,
        destroyed: Sequence[SignedReceipt] | None = None,
        services: Sequence[DesiredService] = (),
        buried: Sequence[SignedKeyReceipt] = (),
        connections: Sequence[DesiredConnection] = (),
        policy: DesiredPolicy | None = None,
        revoked: tuple[int, int, int] | None = None,
    ) -> SignedDesired:
        """The next document of a tenant, signed by control (or whom the test names), in knowledge of all that were."""
        self.keys[tenant] = keys or self.keys.get(tenant, ())
        before = self.last.get(tenant)
        old = msgspec.json.decode(before.document, type=Desired) if before else None
        document = msgspec.json.encode(
            Desired(
                tenant=tenant,
                epoch=epoch,
                generation=generation or (old.generation + 1 if old else 1),
                replaces=tuple(self.decided.get(tenant, ())) if replaces is None else tuple(replaces),
                regions=tuple(regions),
                access=access,
                keys=tuple(keys),
                callers=tuple(callers),
                decided_at=AT,
                destroy_pending=destroy_pending,
                destroyed=None if destroyed is None else tuple(destroyed),
                services=tuple(services),
                buried=tuple(buried),
                connections=tuple(connections),
                policy=policy or DesiredPolicy(),
                revoked=revoked,
            )
        )
        signer = by or self.control
        signed = SignedDesired(
            document=document, signature=sign(signer, Record.DESIRED, FORMAT, *covered_desired(document))
        )
        self.last[tenant] = signed
        self.decided.setdefault(tenant, []).append(sha256(document).hexdigest())
        return signed


def agreement(world: World, region: str) -> AgreeItem:
    """Control's word to a region that holds the newest documents, as a worker gives it every few seconds."""
    digest = 0
    for tenant, signed in world.last.items():
        generation = msgspec.json.decode(signed.document, type=Desired).generation
        digest ^= document_digest(tenant, generation, sha256(signed.document).hexdigest())
    bare = AgreeItem(
        region=region,
        at=datetime.now(UTC),
        tenants=len(world.last),
        digest=f"{digest:064x}",
        but=(),
        signature=sign(world.control, Record.AGREEMENT, FORMAT),
    )
    return replace(bare, signature=sign(world.control, Record.AGREEMENT, FORMAT, *covered_agreement(bare)))


def keys_of(minted: Minted, *, state: KeyState = "active") -> list[DesiredKey]:
    """What was minted, as a document names it."""
    return [
        DesiredKey(
            key_id=one.statement.key_id,
            level=one.statement.level,
            service=one.statement.service,
            version=1,
            state=state,
        )
        for one in minted.records
    ]


def named(minted: Minted, *, version: int = 1, state: KeyState = "active") -> list[DesiredKey]:
    """The keys of an answer, as a document names them under this version."""
    return [replace(key, version=version) for key in keys_of(minted, state=state)]
