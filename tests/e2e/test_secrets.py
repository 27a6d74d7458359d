"""After a whole story no secret stands where it should not: in logs, in the queue, in either database."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import asyncpg
import msgspec
import pytest

from openkcm.crypto.hierarchy import unwrap_l2, unwrap_l3
from openkcm.crypto.rootfile import Root, read_root
from tests.demo.account import new_account
from tests.demo.person import Application, Person
from tests.demo.place import Place
from tests.demo.post import Post
from tests.demo.product import Product
from tests.e2e.demo_run import DemoRun

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

PASSWORD = "canary-" + secrets.token_hex(16)
PLAINTEXT = b"canary-" + secrets.token_hex(16).encode()
#: Read by their owner alone, and meant to hold secrets: settings, passwords, identities, the root.
PRIVATE = re.compile(r"settings/.*\.toml|databases\.json|.*identity\.json|.*root\.json|postgres/.*password.*")


@dataclass(frozen=True)
class Aftermath:
    """What a story left: its secrets by name, and everything that was written, by place."""

    secrets: Mapping[str, bytes]
    written: Mapping[str, bytes]
    state: Path


@pytest.fixture(scope="module")
def aftermath() -> Iterator[Aftermath]:
    run = DemoRun()
    try:
        yield asyncio.run(_story(run.place))
    finally:
        run.close()


async def _story(place: Place) -> Aftermath:
    place.manifests.mkdir(parents=True)
    place.state.chmod(0o711)
    post = Post(place.authority, password=PASSWORD)
    await post.open()
    heard: list[str] = []
    product = Product(place, post.settings(), hear=heard.append)
    found: dict[str, bytes] = {"SMTP password": PASSWORD.encode(), "plaintext": PLAINTEXT}
    try:
        await product.start()
        account = new_account(())
        async with product.following(account.uid) as told:
            account.drop(place.manifests)
            async for _ in told:
                pass
        await asyncio.wait_for(post.until(lambda mail: account.creator in mail.recipients), 60)
        link = await product.sign_in_link(account.uid)
        found["one-time link"] = link.rpartition("/")[2].encode()
        async with Person(product.web) as person:
            await person.sign_in(link)
            token = await person.token(account.uid)
            found["session"] = str(person._client.cookies["openkcm_session"]).encode()
            found["data-plane token"] = token.value.encode()
            async with Application(token, tenant=account.uid, local=False) as application:
                message = await application.encrypt(PLAINTEXT, b"")
                assert await application.decrypt(message, b"") == PLAINTEXT
            refused = await person._client.post(f"{token.data_address}/v1/decrypt", content=PLAINTEXT)
            assert refused.status_code == 401
        found |= await _key_material(place)
        found["database password"] = unquote(urlsplit(_owners(place)["region"]).password or "").encode()
        dumps = {f"database {name}": dump async for name, dump in _dumps(place)}
    finally:
        left = await product.stop()
        await post.close()
    assert left == []
    files = {str(path.relative_to(place.state)): path.read_bytes() for path in _files(place.state)}
    return Aftermath(found, {**files, **dumps, "what up said": "\n".join(heard).encode()}, place.state)


def _files(state: Path) -> Iterator[Path]:
    """Every file of the state directory but PostgreSQL's own, whose content the dumps are."""
    for path in state.rglob("*"):
        inside = path.relative_to(state).parts
        if path.is_file() and inside[:2] != ("postgres", "data") and not PRIVATE.fullmatch("/".join(inside)):
            yield path


async def _dumps(place: Place) -> AsyncIterator[tuple[str, bytes]]:
    """Every row of every table, as ``COPY`` writes it, from control's and the region's database."""
    for database, dsn in _owners(place).items():
        connection = await asyncpg.connect(dsn)
        try:
            names = "select tablename from pg_tables where schemaname = 'public' order by 1"
            tables = [row["tablename"] for row in await connection.fetch(names)]
            assert len(tables) > 5
            dump = bytearray()

            async def keep(block: bytes, dump: bytearray = dump) -> None:
                dump += block

            for table in tables:
                await connection.copy_from_table(table, output=keep, format="text")
            yield database, bytes(dump)
        finally:
            await connection.close()


def _owners(place: Place) -> dict[str, str]:
    """The addresses of both databases, with logins that may read every row."""
    settings = (place.state / "settings" / "operator.toml").read_text()
    control = re.search(r'owner_database = "([^"]+)"', settings)
    assert control is not None
    region = re.search(r'database = "([^"]+)"', (place.state / "settings" / "crypto.toml").read_text())
    assert region is not None
    return {"control": control[1], "region": region[1]}


async def _key_material(place: Place) -> dict[str, bytes]:
    """The region's root, the tenant's L2 and its L3, opened as the region opens them."""
    root_file = place.state / "regions" / "local" / "root.json"
    root = read_root(root_file, region="local")
    assert isinstance(root, Root)
    connection = await asyncpg.connect(_owners(place)["region"])
    try:
        rows = await connection.fetch(
            "select keys.*, wraps.blob, wraps.parent_version, erase_secrets.secret from keys join wraps using (key_id) "
            "left join erase_secrets using (key_id) order by level"
        )
    finally:
        await connection.close()
    l2_row, l3_row = rows
    l2 = unwrap_l2(
        l2_row["blob"],
        root.sealing(l2_row["parent_version"]),
        tenant=l2_row["tenant"],
        key_id=l2_row["key_id"],
        erase_secret=l2_row["secret"],
    )
    l3 = unwrap_l3(
        l3_row["blob"], l2, tenant=l3_row["tenant"], service=l3_row["service"], key_id=l3_row["key_id"]
    )
    content = json.loads(root_file.read_bytes())
    material = msgspec.convert(content["versions"][0]["root"], bytes, strict=False)
    return {"root": material, "L2": l2, "L3": l3}


def _forms(secret: bytes) -> Iterator[bytes]:
    """How a secret may be written: as it is, in base64, in hexadecimal (PostgreSQL's way for bytes)."""
    yield secret
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(secret).rstrip(b"=")


def test_the_search_finds_what_is_there(aftermath: Aftermath) -> None:
    names = set(aftermath.written)
    assert {
        "logs/web.log",
        "logs/worker.log",
        "logs/crypto.log",
        "database control",
        "database region",
    } <= names
    assert any(name.startswith("valkey/") for name in names)
    tenant = next(
        path.stem for path in aftermath.state.glob("manifests/*.yaml") if ".status" not in path.name
    )
    assert tenant.encode() in aftermath.written["database control"]
    assert all(len(secret) >= 16 for secret in aftermath.secrets.values())


@pytest.mark.parametrize(
    "name",
    [
        "SMTP password",
        "plaintext",
        "one-time link",
        "session",
        "data-plane token",
        "root",
        "L2",
        "L3",
        "database password",
    ],
)
def test_no_secret_is_in_logs_queue_or_databases(aftermath: Aftermath, name: str) -> None:
    forms = list(_forms(aftermath.secrets[name]))
    places = [place for place, content in aftermath.written.items() if any(form in content for form in forms)]
    assert places == []


def test_what_holds_secrets_is_its_owners_alone(aftermath: Aftermath) -> None:
    private = [
        path
        for path in aftermath.state.rglob("*")
        if path.is_file() and PRIVATE.fullmatch("/".join(path.relative_to(aftermath.state).parts))
    ]
    assert len(private) >= 7
    assert {path: oct(path.stat().st_mode & 0o777) for path in private if path.stat().st_mode & 0o077} == {}
