"""After connecting, checking, relinking and failing no part of control has a credential: not its database, no log."""

from __future__ import annotations

import base64
import logging

import asyncpg
import pytest

from openkcm.keychain.states import KeyVerb
from openkcm.keystores.connect import connect
from openkcm.keystores.view import shown_key_stores
from openkcm.sdk.refusals import Permanent
from tests.activation.parts import TENANT
from tests.keystores.parts import OwnRoots

pytestmark = pytest.mark.integration
_TABLES = "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'"


async def dump(dsn: str) -> str:
    """Every row of every table, as its owner reads it."""
    connection = await asyncpg.connect(dsn)
    try:
        written = []
        for table in await connection.fetch(_TABLES):
            query = f"select row_to_json(one)::text as row from {table['relname']} one"  # noqa: S608 - the catalogue's own names
            written += [f"{table['relname']} {row['row']}" for row in await connection.fetch(query)]
        return "\n".join(written)
    finally:
        await connection.close()


def forms(secret: str) -> list[str]:
    """The secret as it may stand somewhere: plain, in hexadecimal, and in Base64 at each of its three places."""
    raw = secret.encode()
    shifted = [base64.b64encode(b"x" * shift + raw).decode()[4:-4] for shift in range(3)]
    return [secret, raw.hex(), *shifted]


async def test_no_credential_stands_in_the_database_a_log_or_an_answer(
    own: OwnRoots, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    made = await own.good()
    await own.keys.do(KeyVerb.RELINK, connection=made)
    secret = own.password
    given = own.given(request="wrong", key="NO", password=secret)
    with pytest.raises(Permanent) as refused:
        await connect(own.connecting, given)
    own.kms.change_key("payments", lambda key: key.rights.clear())
    await connect(own.connecting, own.given(request="again", connection=made))
    await own.check(made)
    said = capfd.readouterr()
    places = {
        "database": await dump(own.keys.owner_dsn),
        "output": said.out + said.err,
        "log": caplog.text,
        "refusal": f"{refused.value} {refused.value.remedy}",
        "what was given": repr(given),
        "page": str(await shown_key_stores(TENANT, own.connecting.stores)),
    }
    assert "connection_versions" in places["database"]
    assert "openkcm-payments" in places["database"], (
        "what is not secret is there, so the search sees something"
    )
    for form in forms(secret):
        assert [name for name, text in places.items() if form in text] == []
