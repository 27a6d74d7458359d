"""What a key store does: wrap and unwrap tenants' keys under a root key (L1) that stays where it is.

A plugin's module gives a ``KeyStorePlugin``: a ``Declaration``, which the control plane reads and which needs nothing
of the vendor's SDK, and ``open``, which is called in a key-store host only. Whatever the other side says comes back as
an ``Answered`` with a code of the plugin's own closed table (``Declaration.answers``), never as its text.

``openkcm.sdk.conformance.key_store`` proves of a plugin what is written here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal, Protocol

from openkcm.sdk.fields import Field, wrong_answers
from openkcm.sdk.refusals import Remedy

MAX_KEY_BYTES = 64
"""No key that is wrapped is longer; an L2 has 32 bytes."""
MAX_BLOB_BYTES = 8192
MAX_FINDINGS = 100
CHECK_S = 25.0
"""``check`` has answered within this time, also where nobody answers it."""
FIELD_WRONG = "field-wrong"
"""The code of a finding about an answer that cannot be taken as it is."""


class Outage(StrEnum):
    """What an answer says of our right to use the key. Every documented answer is in one of these classes."""

    REFUSED = "refused"
    """The provider's authenticated, typed answer about this very key: the proof of a refusal, once it came twice."""
    NO_ANSWER = "no-answer"
    """Timeout, 5xx, throttled, no network: the key may still be ours."""
    DOUBTFUL = "doubtful"
    """Our own mistake looks the same: credential expired, authentication refused, name gone, a code nobody knows."""


class Ability(StrEnum):
    """What a store may or may not be able to do; the kit skips the tests of what a plugin says it lacks."""

    CONTEXT = "context"
    """It binds our context itself; where it cannot, ours alone counts."""
    ROTATION = "rotation"
    """Its key has versions: what an older one wrapped still opens after a rotation."""
    HEALING = "healing"
    """A key that was disabled can be enabled again, and works as before."""
    TRUST = "trust"
    """It can set up permissions by itself, with credentials that are used once."""
    OWNERSHIP = "ownership"
    """It can prove that the key's owner named this tenant: ``check`` has a finding of this code, ok or bad."""
    OUTSIDE = "outside"
    """It can prove that the key never left its environment (HYOK): ``check`` has a finding of this code, ok or bad."""


class Wrapping(StrEnum):
    """How a key is wrapped, in order of preference."""

    AEAD = "aead"
    AES_KWP = "aes-kwp"
    RSA_OAEP_256 = "rsa-oaep-256"


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """One right that the runtime credential needs: the provider's own name for it, and when it is needed."""

    name: str
    needed_when: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentedAnswer:
    """One answer of the provider, as its documentation has it: the code we know it by, its class, and our own words.

    ``source`` is the vendor's page or the recording that it is known from.
    """

    code: str
    outage: Outage
    says: str
    remedy: Remedy
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """A plugin as wizard, pages and documentation show it. Connections are stored by ``name``, which never changes.

    ``call_s`` is how long one wrap or unwrap may take before its host is killed. ``apart`` asks for a host for each
    connection: what it loads bears one user in a process, as PKCS#11 modules do.
    """

    name: str
    title: str
    kind: Literal["byok", "hyok"]
    fields: Sequence[Field]
    permissions: Sequence[Permission]
    answers: Sequence[DocumentedAnswer]
    abilities: frozenset[Ability]
    wrappings: Sequence[Wrapping]
    page: str
    call_s: float = 5.0
    apart: bool = False
    live_tested_on: str = ""

    def answer(self, code: str) -> DocumentedAnswer | None:
        """The documented answer of this code."""
        return next((each for each in self.answers if each.code == code), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """How one tenant's key is reached: the answers to the declared fields, the sensitive ones opened for this host.

    ``subject`` is ours, per tenant, unguessable and fixed (an ExternalId, an audience): the key's owner names it.
    ``files`` are the paths that the operator lets this plugin read, by what they are for.
    """

    id: str
    tenant: str
    answers: Mapping[str, str]
    secrets: Mapping[str, str] = field(repr=False, default_factory=dict)
    subject: str = ""
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a wrapped key belongs to. Bound by the store where it can, and by us always."""

    tenant: str
    key_id: str
    region: str

    @property
    def pairs(self) -> dict[str, str]:
        """As an encryption context or associated data has it."""
        return {
            "openkcm:tenant": self.tenant,
            "openkcm:key": self.key_id,
            "openkcm:region": self.region,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrapped:
    """A key under the root key. ``reference`` and ``version`` say which one, in the store's own words."""

    blob: bytes
    wrapping: Wrapping
    reference: str
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """The root key as the store describes it. Empty or None is what it does not say."""

    reference: str
    version: str = ""
    algorithm: str = ""
    protection: Literal["", "software", "hsm"] = ""
    origin: str = ""
    enabled: bool = True
    exportable: bool | None = None
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One result of a check. ``bad`` keeps a connection from being used; ``field`` names what to correct, if one does.

    ``permission`` is the declared permission that is missing, or one that is held and not needed.
    """

    level: Literal["ok", "warn", "bad"]
    code: str
    said: str
    field: str = ""
    permission: str = ""
    remedy: Remedy | None = None


class Answered(Exception):
    """The store said no, or nothing. ``code`` is one of the plugin's documented answers; there is no other text.

    ``retry_after_s`` is what the store asks for. A vendor's exception may hang on as cause or context as long as
    no credential and no key material is in it.
    """

    def __init__(self, code: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.retry_after_s = retry_after_s


class KeyStore(Protocol):
    """One connection to one root key, in a host of its own. Every method raises ``Answered`` and nothing else.

    ``check`` alone never raises: what it meets is a finding. A call that is not answered in time is ended by the end
    of its process, so nothing may depend on a clean-up.
    """

    async def describe(self) -> Described:
        """The root key as it is now."""
        ...

    async def wrap(self, key: bytes, context: Context) -> Wrapped:
        """The key under the root key's newest version, bound to ``context`` where the store can bind."""
        ...

    async def unwrap(self, wrapped: Wrapped, context: Context) -> bytes:
        """The very key that was wrapped; with another context, blob or root key it is refused.

        A blob that nobody made says nothing of our right to use the key: it is answered as doubtful.
        """
        ...

    async def probe(self) -> None:
        """The key answered now, by the cheapest call that proves that it may still wrap and unwrap; nothing changed."""
        ...

    async def check(self) -> Sequence[Finding]:
        """Every finding about connection, key and permissions, within ``CHECK_S``; it leaves nothing behind.

        Wrong answers come first (``wrong_fields``), all at once. A missing permission is named as it is declared.
        """
        ...

    async def trust(self, set_up: Mapping[str, str]) -> Sequence[Finding]:
        """What permissions can be set up were, with ``set_up`` credentials that are used once and kept nowhere.

        Without the ability nothing is done, and a finding that is not ok says so.
        """
        ...

    async def aclose(self) -> None:
        """Nothing of the connection is open any more."""
        ...


class KeyStorePlugin(Protocol):
    """What the hook ``openkcm_key_store`` returns."""

    @property
    def declaration(self) -> Declaration: ...

    async def open(self, connection: Connection) -> KeyStore:
        """A store for this connection; the vendor's SDK is imported here. Raises ``Answered``.

        What is wrong with the connection's answers is for ``check`` to find, so that all of it is found.
        """
        ...


def wrong_fields(declaration: Declaration, connection: Connection) -> list[Finding]:
    """A finding for every answer of the connection that cannot be taken, keyed to its field; no value is repeated."""
    asked = [each for each in declaration.fields if not each.once]
    wrong = wrong_answers(asked, {**connection.answers, **connection.secrets})
    return [
        Finding(
            level="bad",
            code=FIELD_WRONG,
            said=why,
            field=name,
            remedy=Remedy(
                "Correct this answer.", "whoever set up the connection", "reference/key-stores#fields"
            ),
        )
        for name, why in wrong.items()
    ]
