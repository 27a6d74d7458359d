"""A region's start: root, database and identity belong together, or nothing is started."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from openkcm.crypto.rootfile import PAGE, Root, read_root, write_root
from openkcm.kernel.db import Role, Transaction, transaction
from openkcm.kernel.log import get_logger
from openkcm.kernel.migrate import check_schema
from openkcm.sdk.refusals import Permanent, Refusal, Remedy

log = get_logger(__name__)

_LOCK = 0x6F6B726F6F74  # "okroot": one process at a time settles whose database this is


async def establish(
    *, region: str, root_file: Path, identity_fingerprint: str, former: Collection[str] = ()
) -> Root:
    """The region's root, which is the one that its database knows. Made at the very first start, and never again.

    The first start writes the root file, syncs it, and then the region's row. A file without a row (a start that was
    killed in between) is adopted if the database is empty. ``former`` are fingerprints that the operator still pins for
    this region: a database that was made with one of them is taken over by its new identity.

    Raises:
        Permanent: ROOT_MISSING (a row, but no file), ROOT_MISMATCH (another root than the row's, or keys without a
            row), DATABASE_FOREIGN (another region's or identity's database); FILE_MODE, ROOT_UNREADABLE,
            DISK_FULL; SCHEMA_OLD, SCHEMA_NEW.
        Temporary: DATABASE_UNAVAILABLE.
    """
    async with transaction(Role.OWN) as tx:
        await check_schema(tx, name="crypto")
        await tx.execute("select pg_advisory_xact_lock($1)", _LOCK)
        row = await tx.fetchrow("select name, identity_fingerprint from region")
        if row is None:
            return await _first(
                tx, region=region, root_file=root_file, identity_fingerprint=identity_fingerprint
            )
        if row["name"] != region:
            raise _foreign(f"The database belongs to region '{row['name']}', not to '{region}'.")
        if row["identity_fingerprint"] in former:
            await tx.execute("update region set identity_fingerprint = $1", identity_fingerprint)
        elif row["identity_fingerprint"] != identity_fingerprint:
            raise _foreign(
                f"The database belongs to region '{region}' of another installation: it was made with the identity "
                f"{row['identity_fingerprint']}, and this process has {identity_fingerprint}."
            )
        known = {found["version"]: found["fingerprint"] for found in await tx.fetch("select * from roots")}
    root = read_root(root_file, region=region)
    if root is None:
        raise Permanent(
            Refusal.ROOT_MISSING,
            f"The root file {root_file} is gone, and the database of region '{region}' is sealed under it. "
            "No other root is made in its place.",
            remedy=Remedy(f"Restore {root_file} from its off-host copy.", "operator", PAGE),
        )
    if root.fingerprints != known:
        raise _mismatch(root_file, region)
    return root


async def _first(tx: Transaction, *, region: str, root_file: Path, identity_fingerprint: str) -> Root:
    if await tx.fetchval(
        "select exists (select from keys) or exists (select from applied) or exists (select from roots)"
    ):
        raise _mismatch(root_file, region)
    root = read_root(root_file, region=region)
    if root is None:
        root = write_root(root_file, region=region)
        log.info("crypto.root_made", file=str(root_file), fingerprint=root.fingerprints[1])
    else:
        log.warning("crypto.root_adopted", file=str(root_file))
    for version, fingerprint in root.fingerprints.items():
        await tx.execute("insert into roots (version, fingerprint) values ($1, $2)", version, fingerprint)
    await tx.execute(
        "insert into region (name, identity_fingerprint) values ($1, $2)", region, identity_fingerprint
    )
    return root


def _mismatch(root_file: Path, region: str) -> Permanent:
    return Permanent(
        Refusal.ROOT_MISMATCH,
        f"The root file {root_file} is not the one that the database of region '{region}' is sealed under.",
        remedy=Remedy(
            f"Restore the root file that belongs to this database to {root_file}.", "operator", PAGE
        ),
    )


def _foreign(words: str) -> Permanent:
    return Permanent(
        Refusal.DATABASE_FOREIGN,
        words,
        remedy=Remedy(
            "Point crypto.database at this region's own database, or restore its identity file.",
            "operator",
            PAGE,
        ),
    )
