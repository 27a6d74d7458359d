"""Two real regions that open their own credentials and ask the reference key store; control's own doors to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from openkcm.activation.adopt import Adopt
from openkcm.catalog.registry import KeyStores
from openkcm.crypto.contract import (
    Accepted,
    AcceptItem,
    Checked,
    CheckItem,
    LinksItem,
    LinksTold,
    LinkTold,
    Minted,
    RenewItem,
    secret_context,
)
from openkcm.crypto.hosts.pool import HostLimits, Hosts
from openkcm.crypto.hosts.stores import GuardedStores
from openkcm.kernel.db import DB, Role, transaction
from openkcm.keystores.check import ask_check
from openkcm.keystores.connect import Connected, Connecting, Given, connect
from openkcm.keystores.store import subject_of
from openkcm.parties.labels import Sealed
from openkcm.sdk.key_store import Connection
from openkcm.sdk.refusals import Refused
from openkcm.sdk.testing.memory_declaration import memory_declaration
from openkcm.sdk.testing.memory_key_store import MemoryPlugin
from openkcm.sdk.testing.memory_kms import ADDRESS, MemoryKms
from openkcm.tenancy.asking import Asker, operator
from tests.activation.near import Near
from tests.activation.parts import TENANT, Keys
from tests.control import rows
from tests.crypto.own_root import MEMORY
from tests.crypto.plane import Inside

RIGHTS = ["memory:Wrap", "memory:Unwrap", "memory:Describe"]
OPS = operator("operator:ops")


def stores(*plugins: MemoryPlugin) -> KeyStores:
    """These key stores, each from a plugin of its name."""
    return KeyStores(
        plugins={each.declaration.name: each for each in plugins},
        given_by={each.declaration.name: f"keystore-{each.declaration.name}" for each in plugins},
    )


@dataclass
class OwnRoot(Near):
    """A region that asks the reference key store through a real host, and notes what it was asked.

    How the root keys answer it later, a test says (``tell``).
    """

    checks: list[CheckItem] = field(default_factory=list)
    wrapped_by: list[str] = field(default_factory=list)
    told: dict[str, LinkTold] = field(default_factory=dict)
    number: int = 0
    items: list[LinksItem] = field(default_factory=list)
    check_failure: Refused | None = None

    async def check(self, item: CheckItem) -> Checked:
        self.checks.append(item)
        if self.check_failure is not None:
            raise self.check_failure
        return await super().check(item)

    def opened(self, item: CheckItem) -> Connection:
        """The connection with the secrets that this region's private key opens."""
        made = item.connection
        secrets = {
            each.field: self.inside.identity.sealing.open(
                each.sealed,
                Sealed.CREDENTIAL,
                *secret_context(made, region=self.name, tenant=item.tenant, field=each.field),
            ).decode()
            for each in made.secrets
        }
        return Connection(
            id=made.id, tenant=item.tenant, answers=made.answers, secrets=secrets, subject=made.subject
        )

    async def renew(self, item: RenewItem) -> Minted:
        self.wrapped_by.append(item.connection)
        return await super().renew(item)

    async def accept(self, item: AcceptItem) -> Accepted:
        self.wrapped_by.append(item.connection)
        return await super().accept(item)

    async def links(self, item: LinksItem) -> LinksTold:
        self.items.append(item)
        if self.failure is not None:
            raise self.failure
        known = item.run == "run" and item.since == self.number
        return LinksTold(
            run="run",
            number=self.number,
            whole=not item.run,
            links=() if known else tuple(self.told.values()),
        )

    def tell(self, link: LinkTold) -> None:
        """From now on this is how the root key answers here."""
        self.told[link.key_id] = link
        self.number += 1


def hosted(inside: Inside, directory: Path) -> GuardedStores:
    """Guards before hosts that reach the system in this folder, as a HYOK store and as one of a cloud."""
    settings = {"directory": str(directory), "host_writes": str(directory), "deadline_s": "0.5"}
    return GuardedStores(
        Hosts(
            {"keystore-memory": settings, "keystore-cloud": {**settings, "name": "cloud", "kind": "byok"}},
            HostLimits(memory_mib=256),
            plugins=tuple(replace(MEMORY, name=f"keystore-{name}") for name in ("memory", "cloud")),
        ),
        clock=inside.clock,
    )


@dataclass
class OwnRoots:
    """A tenant's keys, a customer's key management system with one key for it, and the doors to connect them."""

    keys: Keys
    kms: MemoryKms
    connecting: Connecting
    regions: Mapping[str, OwnRoot]
    password: str = ""

    @property
    def local(self) -> OwnRoot:
        return self.regions["local"]

    @property
    def eu(self) -> OwnRoot:
        return self.regions["eu-1"]

    def owned(self, key: str, subject: str, identity: str = "") -> str:
        """A key in the customer's system, whose owner named this subject; the answer is the password."""
        self.password = self.kms.create(
            key, identity=identity or f"openkcm-{key}", rights=list(RIGHTS), names=subject
        )
        return self.password

    def given(
        self,
        key: str = "payments",
        *,
        request: str = "connect",
        password: str | None = None,
        connection: str = "",
        plugin: str = "memory",
        by: Asker = OPS,
        **answers: str,
    ) -> Given:
        secret = self.password if password is None else password
        told = {"address": ADDRESS, "key": key, "identity": f"openkcm-{key}"} | answers
        return Given(
            tenant=TENANT,
            plugin=plugin,
            request=request,
            by=by,
            answers=told,
            secrets={"password": secret} if secret else {},
            connection=connection,
        )

    async def subject(self) -> str:
        async with transaction(Role.SYSTEM) as tx:
            return await subject_of(tx, TENANT)

    async def connect(self, key: str = "payments", *, plugin: str = "memory") -> Connected:
        """The tenant has a connection to a key of the customer's, which is as it should be."""
        self.owned(key, await self.subject())
        return await connect(self.connecting, self.given(key, request=f"connect-{key}", plugin=plugin))

    async def check(self, connection: str) -> None:
        """It was asked for, and the worker has made it."""
        async with transaction(Role.SYSTEM) as tx:
            await ask_check(tx, TENANT, connection, by=OPS)
        await self.work()

    async def work(self) -> None:
        """The worker has made every check that was asked for, and all else that it can do."""
        async with transaction(Role.SYSTEM) as tx:
            events = await tx.fetch(
                "delete from outbox where topic = 'keystores.check' returning payload::text as payload"
            )
        for event in events:
            before = DB.pool
            try:
                await Adopt(self.keys.means)(msgspec.json.decode(event["payload"]))
            finally:
                DB.pool = before
        await self.keys.work()

    async def good(self, key: str = "payments", *, plugin: str = "memory") -> str:
        """A connection that every region has found good."""
        made = await self.connect(key, plugin=plugin)
        await self.check(made.connection)
        return made.connection


async def sealed_of(connection: str) -> list[dict[str, str]]:
    """What is stored of a connection's secrets."""
    (row,) = await rows(
        "select secrets::text as secrets from connection_versions where connection = $1 order by version desc limit 1",
        connection,
    )
    return msgspec.json.decode(str(row["secrets"]), type=list[dict[str, str]])


def byok(kms: MemoryKms) -> MemoryPlugin:
    """The same system as a key store of a cloud."""
    return MemoryPlugin(kms, declaration=memory_declaration(name="cloud", kind="byok"))
