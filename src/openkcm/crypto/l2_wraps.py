"""A tenant key as this region holds it: wrapped by its own root, or by the customer's root key, signed and kept."""

from __future__ import annotations

from os import urandom

from msgspec.structs import replace

from openkcm.crypto import hierarchy
from openkcm.crypto.contract import KeyRecord, Statement, Wrap
from openkcm.crypto.covered import covered_wrap
from openkcm.crypto.here import Here
from openkcm.crypto.kept import Kept, keep
from openkcm.crypto.view import View
from openkcm.parties.labels import Record
from openkcm.parties.signed import Signature
from openkcm.sdk.refusals import Refused

_UNSIGNED = Signature(signer_kind="region", signer="", serial=1, sig=b"")


def by_own_root(here: Here, statement: Statement, l2: bytes) -> Kept:
    """The L2 under this region's root, with an erase secret of its own."""
    sealing, erase_secret = here.root.current, urandom(hierarchy.KEY_BYTES)
    key_id = bytes.fromhex(statement.key_id)
    blob = hierarchy.wrap_l2(l2, sealing, tenant=statement.tenant, key_id=key_id, erase_secret=erase_secret)
    bare = Wrap(
        key_id=statement.key_id,
        holder=here.region,
        parent=hierarchy.ROOT_PARENT,
        parent_version=sealing.version,
        algorithm=hierarchy.ALGORITHM,
        blob=blob,
        signature=_UNSIGNED,
    )
    record = KeyRecord(statement=statement, wrap=signed_wrap(here, bare))
    return keep(record, sealing, erase_secret=erase_secret)


async def by(here: Here, view: View, connection: str, statement: Statement, l2: bytes) -> Kept:
    """The L2 under the root key at the end of ``connection``, or under this region's own where that is empty.

    Raises:
        Permanent: KEY_STORE_REFUSED, KEY_STORE_DOUBTFUL.
        Temporary: KEY_STORE_NO_ANSWER.
    """
    if not connection:
        return by_own_root(here, statement, l2)
    made = await here.roots.wrap(view, connection, bytes.fromhex(statement.key_id), l2)
    bare = Wrap(
        key_id=statement.key_id,
        holder=here.region,
        parent=made.parent,
        parent_version=made.parent_version,
        algorithm=made.algorithm,
        blob=made.blob,
        signature=_UNSIGNED,
    )
    return keep(KeyRecord(statement=statement, wrap=signed_wrap(here, bare)), here.root.current)


def signed_wrap(here: Here, wrap: Wrap) -> Wrap:
    """The wrap with this region's signature."""
    return replace(wrap, signature=here.sign(Record.WRAP, *covered_wrap(wrap)))


def opened(l2s: dict[bytes, bytes | Refused], key_id: bytes) -> bytes:
    """This L2 of those that ``RootKeys.open_all`` gave.

    Raises:
        Refused: why it cannot be had.
    """
    l2 = l2s[key_id]
    if isinstance(l2, Refused):
        raise l2
    return l2
