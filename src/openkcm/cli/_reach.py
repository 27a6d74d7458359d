"""What ``openkcm doctor`` can reach: databases, Redis, regions; and the form in which every check tells."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from hashlib import sha256
from typing import Literal, cast

import asyncpg
import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from openkcm.kernel.commands import command
from openkcm.kernel.db import LOST, Transaction
from openkcm.kernel.migrate import check_schema
from openkcm.parties.identity import Identity
from openkcm.parties.pins import Pins
from openkcm.sdk.refusals import Refused
from openkcm.settings import Settings

Level = Literal["ok", "warn", "risk", "bad"]
_WITHIN_S = 5.0


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What a check found. ``risk`` works and may be lost or is unsafe; ``bad`` does not work."""

    level: Level
    about: str
    said: str
    action: str = ""


def databases(settings: Settings) -> Iterator[tuple[str, str, str]]:
    """(setting, address, tree of migrations) of every database that these settings name."""
    control = settings.control
    for name, dsn in (
        ("control.web_database", control.web_database),
        ("control.worker_database", control.worker_database),
        ("control.owner_database", control.owner_database),
    ):
        if dsn:
            yield name, dsn, "control"
    if settings.crypto is not None:
        yield "crypto.database", settings.crypto.database, "crypto"


async def database(name: str, dsn: str, tree: str) -> Finding:
    """The database answers with this login, and has this version's schema."""
    try:
        connection = await asyncpg.connect(dsn, timeout=_WITHIN_S)
    except (*LOST, asyncpg.PostgresError) as lost:
        return Finding(
            level="bad",
            about=name,
            said=f"No connection: {_why_lost(lost)}.",
            action="Check that PostgreSQL runs, and the address and login of this setting.",
        )
    try:
        if name == "control.worker_database":
            await connection.execute("set role system")  # the login itself has no rights
        await check_schema(cast("Transaction", connection), name=tree)
        version = await connection.fetchval("show server_version")
    except Refused as wrong:
        return refused(name, wrong)
    except asyncpg.PostgresError as wrong:
        return Finding(
            level="bad",
            about=name,
            said=f"The login may not read what it must: {type(wrong).__name__}.",
            action="Make roles and databases again as operate/database tells.",
        )
    finally:
        await connection.close(timeout=2)
    return Finding(level="ok", about=name, said=f"PostgreSQL {version}, schema of this version.")


async def problems(dsn: str) -> Finding:
    """Whether everything that the tenant sources name can be used."""
    connection = await asyncpg.connect(dsn, timeout=_WITHIN_S)
    try:
        await connection.execute("set role system")
        rows = await connection.fetch("select origin, message from source_problems order by seen_at, id")
        failed = await connection.fetch(
            "select tenant, topic, failed from outbox where failed is not null order by id"
        )
    finally:
        await connection.close(timeout=2)
    if failed:
        who = ", ".join(f"{row['tenant'] or 'the installation'} ({row['failed']})" for row in failed[:5])
        return Finding(
            level="bad",
            about="tenants",
            said=f"What changed was refused for good and is not in force: {len(failed)} in all; {who}.",
            action="Read the worker's log for outbox.failed; the code's page says what to do.",
        )
    if not rows:
        return Finding(level="ok", about="tenants", said="Everything that the sources name can be used.")
    more = f" And {len(rows) - 1} more." if len(rows) > 1 else ""
    return Finding(
        level="warn",
        about="tenants",
        said=f"{rows[0]['origin']} cannot be used: {rows[0]['message']}{more}",
        action=f"See all of them: {command('tenants problems')}",
    )


def _why_lost(lost: BaseException) -> str:
    if isinstance(lost, asyncpg.InvalidAuthorizationSpecificationError):
        return "the login or its password is refused"
    if isinstance(lost, asyncpg.InvalidCatalogNameError):
        return "there is no such database"
    return "nobody answers there"


async def redis(settings: Settings) -> Finding:
    """The queue answers; without it work is found later."""
    client = Redis.from_url(
        settings.control.redis, socket_connect_timeout=_WITHIN_S, socket_timeout=_WITHIN_S
    )
    try:
        await client.ping()
    except (RedisError, OSError, ValueError):
        return Finding(
            level="bad",
            about="control.redis",
            said="Redis does not answer. Work is found by looking at the database instead: slower, nothing is lost.",
            action="Check that it runs, and its address.",
        )
    finally:
        await client.aclose()
    return Finding(level="ok", about="control.redis", said="It answers.")


async def region(name: str, address: str, identity: Identity, pins: Pins) -> Finding:
    """The region's control door shows the certificate that is pinned; compared by hash, as the processes do."""
    about = f"region {name}"
    try:
        pin = pins.current("region", name)
    except Refused as wrong:
        return refused(about, wrong)
    host, _, port = address.rpartition(":")
    bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    bare.check_hostname = False
    bare.verify_mode = ssl.CERT_NONE  # only looks who is there; nothing is sent over this connection
    try:
        async with asyncio.timeout(_WITHIN_S):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port), ssl=bare)
            leaf = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            writer.transport.abort()
    except (OSError, ValueError, TimeoutError):
        return Finding(
            level="bad",
            about=about,
            said=f"Nobody answers at {address}.",
            action=f"Start it: openkcm crypto --region {name}; check its address in control.regions.",
        )
    shown = sha256(leaf or b"").hexdigest()
    if shown != pin.tls_sha256.hex():
        return Finding(
            level="bad",
            about=about,
            said=f"Another party answers at {address}: its certificate hashes to {shown[:16]}…, pinned is "
            f"{pin.tls_sha256.hex()[:16]}…. To the processes this looks like an outage.",
            action="Compare the fingerprints with those that --enrol printed there; pin again if it was enrolled anew.",
        )
    return Finding(
        level="ok",
        about=about,
        said=f"Answers at {address} as pinned ({pin.fingerprint[:17]}…), asked by {identity.pin}.",
    )


def refused(about: str, wrong: Refused) -> Finding:
    """A refusal as a finding that does not work."""
    return Finding(
        level="bad", about=about, said=wrong.message, action=wrong.remedy.action if wrong.remedy else ""
    )
