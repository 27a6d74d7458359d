"""A region's software root seen as a key store, so that it keeps the same contract as a customer's.

It runs inside the crypto process and needs no host. What it wraps is, byte for byte, what ``hierarchy.wrap_l2`` wraps:
an L2 under a key derived from the root and from an erase secret of its own per (tenant, key id).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol

from openkcm.crypto import hierarchy
from openkcm.crypto.rootfile import PAGE, Root
from openkcm.sdk.key_store import (
    Ability,
    Answered,
    Connection,
    Context,
    Declaration,
    Described,
    DocumentedAnswer,
    Finding,
    KeyStore,
    Outage,
    Wrapped,
    Wrapping,
)
from openkcm.sdk.refusals import Permanent, Refused, Remedy, Temporary

_KEY_ID: Final = re.compile(r"[0-9a-f]{32}")
_VERSION: Final = re.compile(r"[1-9][0-9]{0,8}")
_SOURCE: Final = "openkcm.crypto.hierarchy"


def _answer(code: str, outage: Outage, says: str, action: str) -> DocumentedAnswer:
    return DocumentedAnswer(
        code=code, outage=outage, says=says, remedy=Remedy(action, "operator", PAGE), source=_SOURCE
    )


DECLARATION: Final = Declaration(
    name="software",
    title="Platform-managed key",
    kind="byok",
    fields=(),
    permissions=(),
    answers=(
        _answer(
            "key-erased",
            Outage.REFUSED,
            "The secret that this key was wrapped with is deleted for ever.",
            "Nothing brings it back; the certificate of its destruction says when and why.",
        ),
        _answer(
            "secrets-unavailable",
            Outage.NO_ANSWER,
            "The region's database, where the erase secrets are, does not answer.",
            "Bring the region's database back.",
        ),
        _answer(
            "root-version-missing",
            Outage.DOUBTFUL,
            "The root file does not hold the version that wrapped this.",
            "Restore the root file that holds it.",
        ),
        _answer(
            "record-mismatch",
            Outage.DOUBTFUL,
            "This is not a wrap that the region's root made for this key.",
            "Restore the region's database together with its root, and look for who changed it.",
        ),
        _answer(
            "context-foreign",
            Outage.DOUBTFUL,
            "The key belongs to another tenant or region, or its id is none.",
            "Report it: nothing but a defect asks so.",
        ),
    ),
    abilities=frozenset({Ability.CONTEXT, Ability.ROTATION}),
    wrappings=(Wrapping.AEAD,),
    page=PAGE,
)


class EraseSecrets(Protocol):
    """Where a region keeps the secret of each key that its root wraps; deleting one ends the key."""

    async def made(self, tenant: str, key_id: bytes) -> bytes:
        """The key's secret, made now where there never was one.

        Raises:
            Permanent: KEY_DESTROYED, it was erased.
            Temporary: the database does not answer.
        """
        ...

    async def kept(self, tenant: str, key_id: bytes) -> bytes | None:
        """The key's secret; None where there never was one. Raises as ``made`` does."""
        ...


class SoftwarePlugin:
    """Opens stores under the root that ``root`` gives at each call, so that a new version wraps at once."""

    declaration: Final = DECLARATION

    def __init__(self, root: Callable[[], Root], secrets: EraseSecrets) -> None:
        self._root = root
        self._secrets = secrets

    async def open(self, connection: Connection) -> KeyStore:
        return SoftwareStore(self._root, self._secrets, tenant=connection.tenant)


class SoftwareStore:
    """One tenant's keys under the region's root."""

    def __init__(self, root: Callable[[], Root], secrets: EraseSecrets, *, tenant: str) -> None:
        self._root = root
        self._secrets = secrets
        self._tenant = tenant

    async def describe(self) -> Described:
        return Described(
            reference=hierarchy.ROOT_PARENT,
            version=str(self._root().current.version),
            algorithm=hierarchy.ALGORITHM,
            protection="software",
            origin="root file",
            exportable=True,
        )

    async def wrap(self, key: bytes, context: Context) -> Wrapped:
        key_id, sealing = self._key_id(context), self._root().current
        erase_secret = await self._secret(self._secrets.made, key_id)
        blob = hierarchy.wrap_l2(key, sealing, tenant=self._tenant, key_id=key_id, erase_secret=erase_secret)
        return Wrapped(
            blob=blob,
            wrapping=Wrapping.AEAD,
            reference=hierarchy.ROOT_PARENT,
            version=str(sealing.version),
        )

    async def unwrap(self, wrapped: Wrapped, context: Context) -> bytes:
        key_id = self._key_id(context)
        if not _VERSION.fullmatch(wrapped.version):
            raise Answered("record-mismatch")
        try:
            sealing = self._root().sealing(int(wrapped.version))
        except Refused:
            raise Answered("root-version-missing") from None
        erase_secret = await self._secret(self._secrets.kept, key_id)
        try:
            return hierarchy.unwrap_l2(
                wrapped.blob, sealing, tenant=self._tenant, key_id=key_id, erase_secret=erase_secret
            )
        except Refused:
            raise Answered("record-mismatch") from None

    async def probe(self) -> None:
        """The root is in memory and the secrets can be read; no secret is made."""
        await self._reach()

    async def check(self) -> Sequence[Finding]:
        try:
            await self._reach()
        except Answered as refused:
            answer = DECLARATION.answer(refused.code)
            said, remedy = (answer.says, answer.remedy) if answer else ("", None)
            return [Finding(level="bad", code=refused.code, said=said, remedy=remedy)]
        version = self._root().current.version
        return [Finding(level="ok", code="root", said=f"Root version {version} wraps and unwraps.")]

    async def trust(self, set_up: Mapping[str, str]) -> Sequence[Finding]:
        return [
            Finding(level="warn", code="nothing-to-set-up", said="The platform's root needs no permission.")
        ]

    async def aclose(self) -> None:
        """The root belongs to the region, which goes on."""

    async def _reach(self) -> None:
        try:
            await self._secrets.kept(self._tenant, bytes(hierarchy.KEY_ID_BYTES))
        except Temporary:
            raise Answered("secrets-unavailable") from None

    async def _secret(self, look: Callable[[str, bytes], Awaitable[bytes | None]], key_id: bytes) -> bytes:
        try:
            found = await look(self._tenant, key_id)
        except Temporary:
            raise Answered("secrets-unavailable") from None
        except Permanent:
            raise Answered("key-erased") from None
        if found is None:
            raise Answered("record-mismatch")
        return found

    def _key_id(self, context: Context) -> bytes:
        ours = context.tenant == self._tenant and context.region == self._root().region
        if not ours or not _KEY_ID.fullmatch(context.key_id):
            raise Answered("context-foreign")
        return bytes.fromhex(context.key_id)
