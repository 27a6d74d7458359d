"""Why something said no: a closed set of reasons, each with what to do about it, by whom, and where it is written."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Refusal(StrEnum):
    """A stable code. It stands in journals, logs, problem documents and on pages; it is never renamed."""

    # What a request or a document says
    BAD_REQUEST = "bad-request"
    NOT_FOUND = "not-found"
    NOT_PERMITTED = "not-permitted"
    STEP_UP_NEEDED = "step-up-needed"
    NOT_SIGNED_IN = "not-signed-in"
    FORM_EXPIRED = "form-expired"
    TOO_LARGE = "too-large"
    TOO_MANY = "too-many"
    INTERNAL = "internal"
    UNAVAILABLE = "unavailable"
    LINK_USED = "link-used"
    # Tenants and their sources
    TENANT_ID_INVALID = "tenant-id-invalid"
    TENANT_UNKNOWN = "tenant-unknown"
    TENANT_NOT_READY = "tenant-not-ready"
    TENANT_STATE = "tenant-state"
    TENANT_CLAIMED = "tenant-claimed"
    OWNER_UNKNOWN = "owner-unknown"
    TENANT_ALIVE = "tenant-alive"
    TENANT_HELD = "tenant-held"
    MANIFEST_UNREADABLE = "manifest-unreadable"
    MANIFEST_INVALID = "manifest-invalid"
    MANIFEST_TOO_LARGE = "manifest-too-large"
    KIND_UNKNOWN = "kind-unknown"
    SOURCE_UNAVAILABLE = "source-unavailable"
    STATUS_NOT_WRITTEN = "status-not-written"
    # Provisioning and work that survives
    STEP_FAILED = "step-failed"
    CANCELLED = "cancelled"
    LEASE_LOST = "lease-lost"
    QUEUE_UNAVAILABLE = "queue-unavailable"
    REGION_UNAVAILABLE = "region-unavailable"
    REGION_UNKNOWN = "region-unknown"
    ADDRESS_NOT_ANSWERING = "address-not-answering"
    # Keys
    KEY_UNKNOWN = "key-unknown"
    KEY_READ_ONLY = "key-read-only"
    KEY_BLOCKED = "key-blocked"
    KEY_REVOKED = "key-revoked"
    KEY_STATE = "key-state"
    KEY_CHANGING = "key-changing"
    KEY_IN_USE = "key-in-use"
    KEY_NOT_ACTIVE = "key-not-active"
    KEY_DESTROYED = "key-destroyed"
    DESTROY_NOT_DUE = "destroy-not-due"
    KEY_SUSPENDED = "key-suspended"
    KEY_STORE_SILENT = "key-store-silent"
    CUT_OFF = "cut-off"
    CIPHERTEXT_INVALID = "ciphertext-invalid"
    FORMAT_UNSUPPORTED = "format-unsupported"
    TOKEN_INVALID = "token-invalid"
    CALLER_UNKNOWN = "caller-unknown"
    TRUST_INVALID = "trust-invalid"
    ISSUER_SILENT = "issuer-silent"
    # Key stores
    KEY_STORE_REFUSED = "key-store-refused"
    KEY_STORE_NO_ANSWER = "key-store-no-answer"
    KEY_STORE_DOUBTFUL = "key-store-doubtful"
    ANSWERS_INVALID = "answers-invalid"
    SECRETS_NEEDED = "secrets-needed"
    CONNECTION_UNKNOWN = "connection-unknown"
    CONNECTION_IN_USE = "connection-in-use"
    CONNECTION_NOT_CHECKED = "connection-not-checked"
    CONNECTION_FAULTY = "connection-faulty"
    # Between the planes
    PARTY_UNKNOWN = "party-unknown"
    PIN_INVALID = "pin-invalid"
    SIGNATURE_INVALID = "signature-invalid"
    GENERATION_OLD = "generation-old"
    GENERATION_CONFLICT = "generation-conflict"
    REGION_NOT_IN_SET = "region-not-in-set"
    HANDOVER_EXPIRED = "handover-expired"
    RECORD_MISMATCH = "record-mismatch"
    # Files, databases, settings at start
    IDENTITY_UNREADABLE = "identity-unreadable"
    IDENTITY_EXISTS = "identity-exists"
    ROOT_UNREADABLE = "root-unreadable"
    ROOT_MISSING = "root-missing"
    ROOT_MISMATCH = "root-mismatch"
    FILE_MODE = "file-mode"
    DATABASE_UNAVAILABLE = "database-unavailable"
    DATABASE_FOREIGN = "database-foreign"
    SCHEMA_OLD = "schema-old"
    SCHEMA_NEW = "schema-new"
    DISK_FULL = "disk-full"
    STATE_UNWRITABLE = "state-unwritable"
    ALREADY_RUNNING = "already-running"
    PORT_TAKEN = "port-taken"
    BINARY_MISSING = "binary-missing"
    START_FAILED = "start-failed"
    SETTING_INVALID = "setting-invalid"
    SETTING_MISSING = "setting-missing"
    PLUGIN_BROKEN = "plugin-broken"
    PLUGIN_MISSING = "plugin-missing"
    # Notices
    MAIL_NOT_ACCEPTED = "mail-not-accepted"
    MAIL_REJECTED = "mail-rejected"
    RECIPIENT_INVALID = "recipient-invalid"


@dataclass(frozen=True, slots=True)
class Remedy:
    """What ends the refusal: one action in plain words, who can do it, and the page that explains it."""

    action: str
    who: str
    reference: str = ""


class Refused(Exception):
    """Something was refused; ``refusal`` is the code, ``str()`` what happened and why, in a person's words.

    ``temporary`` says whether the same request may succeed later without anybody's doing; ``retry_after_s`` when.
    The message never holds a provider's text, key material, credentials or a stack trace.
    """

    temporary = False

    def __init__(
        self,
        refusal: Refusal,
        message: str,
        *,
        remedy: Remedy | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.refusal = refusal
        self.message = message
        self.remedy = remedy
        self.retry_after_s = retry_after_s


class Temporary(Refused):
    """Worth trying again: nobody has to do anything first."""

    temporary = True


class Permanent(Refused):
    """Trying again is no use until somebody has acted; ``remedy`` says who and how."""
