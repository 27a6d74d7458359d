"""What the key store in memory declares: as a plugin for a real system does, in every field."""

from __future__ import annotations

from typing import Final, Literal

from openkcm.sdk.fields import Field
from openkcm.sdk.key_store import Ability, Declaration, DocumentedAnswer, Outage, Permission, Wrapping
from openkcm.sdk.refusals import Remedy

PAGE: Final = "reference/key-stores"
_OWNER: Final = "the key's owner"
_OPERATOR: Final = "operator"
CODES: Final = {
    "KeyDisabled": "key-disabled",
    "KeyDeleted": "key-deleted",
    "AccessDenied": "not-permitted",
    "throttled": "throttled",
    "failing": "server-error",
    "gone": "name-gone",
    "NoSuchHost": "name-gone",
    "ExpiredCredential": "credential-expired",
    "WrongCredential": "credential-refused",
    "UnknownIdentity": "identity-unknown",
    "NotFound": "key-not-found",
    "InvalidCiphertext": "ciphertext-invalid",
}
"""The system's own names for its answers, and the codes that they are documented by."""
FIELD_OF: Final = {
    "name-gone": "address",
    "identity-unknown": "identity",
    "credential-refused": "password",
    "credential-expired": "password",
    "key-not-found": "key",
}
"""Which answer of the connection is wrong where the system answers so."""


def _answer(code: str, outage: Outage, says: str, action: str, who: str = _OWNER) -> DocumentedAnswer:
    source = "openkcm.sdk.testing.memory_kms"
    return DocumentedAnswer(
        code=code, outage=outage, says=says, remedy=Remedy(action, who, PAGE), source=source
    )


_ANSWERS: Final = (
    _answer("key-disabled", Outage.REFUSED, "The key is disabled.", "Enable the key."),
    _answer("key-deleted", Outage.REFUSED, "The key waits for its deletion.", "Cancel the key's deletion."),
    _answer("not-permitted", Outage.REFUSED, "The key may not be used.", "Grant the declared permissions."),
    _answer("timeout", Outage.NO_ANSWER, "The store did not answer in time.", "Wait for it.", _OPERATOR),
    _answer(
        "unreachable", Outage.NO_ANSWER, "The store cannot be reached.", "Look at the network.", _OPERATOR
    ),
    _answer("throttled", Outage.NO_ANSWER, "The store asks for fewer calls.", "Raise the quota."),
    _answer("server-error", Outage.NO_ANSWER, "The store failed.", "Wait for it.", _OPERATOR),
    _answer("name-gone", Outage.DOUBTFUL, "Nobody answers to this address.", "Correct the address."),
    _answer("credential-expired", Outage.DOUBTFUL, "The password has expired.", "Enter the new password."),
    _answer("credential-refused", Outage.DOUBTFUL, "The password is refused.", "Enter the right password."),
    _answer("identity-unknown", Outage.DOUBTFUL, "There is no such identity.", "Correct the identity."),
    _answer("key-not-found", Outage.DOUBTFUL, "There is no such key.", "Correct the key's name."),
    _answer("ciphertext-invalid", Outage.DOUBTFUL, "The key did not make this.", "Restore it.", _OPERATOR),
    _answer("unreadable", Outage.DOUBTFUL, "The answer cannot be read.", "Look at what answers.", _OPERATOR),
    _answer("unknown", Outage.DOUBTFUL, "The answer is not known.", "Report it.", _OPERATOR),
)

_FIELDS: Final = (
    Field(
        name="address",
        label="Address",
        help="Where the store answers.",
        pattern=r"https://[a-z0-9.-]+",
        example="https://kms.example",
    ),
    Field(name="key", label="Key", help="The name of the key.", pattern=r"[a-z0-9-]+", example="payments"),
    Field(
        name="identity",
        label="Identity",
        help="Who asks for the key.",
        pattern=r"[a-z0-9-]+",
        example="openkcm",
    ),
    Field(name="password", label="Password", help="The identity's password.", sensitive=True),
    Field(
        name="admin_password",
        label="Administrator's password",
        help="Used once, to give the permissions, and stored nowhere.",
        required=False,
        sensitive=True,
        once=True,
    ),
)

_PERMISSIONS: Final = (
    Permission(name="memory:Wrap", needed_when="always", why="A new tenant key is wrapped."),
    Permission(name="memory:Unwrap", needed_when="always", why="A tenant key is opened."),
    Permission(name="memory:Describe", needed_when="always", why="The key's state and version are shown."),
)


def memory_declaration(
    *, name: str = "memory", kind: Literal["byok", "hyok"] = "hyok", call_s: float = 5.0
) -> Declaration:
    """The declaration; only a store where the key stays outside (HYOK) can prove that it does."""
    lacks = set() if kind == "hyok" else {Ability.OUTSIDE}
    return Declaration(
        name=name,
        title="Key store in memory",
        kind=kind,
        fields=_FIELDS,
        permissions=_PERMISSIONS,
        answers=_ANSWERS,
        abilities=frozenset(Ability) - lacks,
        wrappings=(Wrapping.AEAD,),
        page=PAGE,
        call_s=call_s,
    )
