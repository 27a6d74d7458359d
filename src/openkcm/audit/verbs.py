"""What may stand in the audit log: a closed set, ``source:subject:action``. A verb is never renamed or reused."""

from __future__ import annotations

from enum import StrEnum


class AuditVerb(StrEnum):
    """What was done. ``source`` is the room that did it, ``subject`` what it was done to."""

    # What a tenant source said
    TENANT_APPEARED = "tenancy:tenant:appear"
    TENANT_RETURNED = "tenancy:tenant:return"
    TENANT_UNINSTALLED = "tenancy:tenant:uninstall"
    TENANT_DELETING = "tenancy:tenant:delete"
    TENANT_DESCRIBED = "tenancy:tenant:describe"
    CREATOR_LEARNT = "tenancy:creator:learn"
    DOCUMENT_REFUSED = "tenancy:document:refuse"
    RESOURCE_REMOVED = "tenancy:resource:remove"
    # How far a tenant came
    TENANT_READY = "provisioning:tenant:ready"
    TENANT_UNDONE = "provisioning:tenant:undo"
    STEP_DONE = "provisioning:step:do"
    STEP_UNDONE = "provisioning:step:undo"
    STEP_FAILED = "provisioning:step:fail"
    SAGA_RETRIED = "provisioning:saga:retry"
    SAGA_CANCELLED = "provisioning:saga:cancel"
    # Who calls
    TOKEN_ISSUED = "services:token:issue"  # noqa: S105  # names an action, is no token
    CALLER_ADDED = "services:caller:add"
    CALLER_REMOVED = "services:caller:remove"
    # Keys
    KEY_MADE = "keychain:key:make"
    KEY_ACTIVATED = "keychain:key:activate"
    KEY_ABANDONED = "keychain:key:abandon"
    KEY_REQUESTED = "keychain:key:request"
    KEY_CHANGE_UNDONE = "activation:key:undo"
    KEY_ROTATED = "keychain:key:rotate"
    KEYS_READ_ONLY = "keychain:access:disable"
    KEYS_ENABLED = "keychain:access:enable"
    KEYS_REVOKED = "keychain:access:revoke"
    KEYS_RESTORED = "keychain:access:restore"
    KEY_DESTROY_ASKED = "keychain:destroy:ask"
    KEY_DESTROY_KEPT = "keychain:destroy:keep"
    KEY_DESTROY_CLOSED = "keychain:destroy:close"
    KEY_DESTROY_HALTED = "keychain:destroy:stop"
    KEY_DESTROY_DONE = "keychain:destroy:done"
    SCHEDULE_SET = "keychain:schedule:set"
    KEYS_RELINKED = "keychain:key:relink"
    # Tenants' own root keys
    CONNECTION_MADE = "keystores:connection:make"
    CONNECTION_CHANGED = "keystores:connection:change"
    CONNECTION_CHECKED = "keystores:connection:check"
    CONNECTION_COUNTS = "keystores:connection:adopt"
    CONNECTION_REMOVED = "keystores:connection:remove"
    OUTAGE_CHOSEN = "keystores:outage:choose"
    LINK_FAILED = "keystores:link:fail"
    LINK_HEALED = "keystores:link:heal"
    # The life of single keys, in a region
    KEY_DESTROY_COUNTED = "crypto:key:count"
    KEY_DESTROY_STOPPED = "crypto:key:stop"
    KEY_USED = "crypto:key:use"
    KEY_DESTROYED = "crypto:key:destroy"
    TIGHTENED = "crypto:access:tighten"
    # The end of a tenant, in a region
    DESTROY_COUNTED = "crypto:destroy:count"
    DESTROY_STOPPED = "crypto:destroy:stop"
    KEYS_DESTROYED = "crypto:keys:destroy"
    # The end of a tenant, in control
    END_HELD = "ending:tenant:hold"
    END_RELEASED = "ending:tenant:release"
    END_STOPPED = "ending:tenant:stop"
    END_LOOKED = "ending:source:look"
    END_BEGUN = "ending:tenant:begin"
    END_DESTROYED = "ending:keys:destroy"
    END_CERTIFIED = "ending:certificate:make"
    TENANT_BURIED = "ending:tenant:bury"
    END_TOLD = "ending:people:tell"
    # What the regions are told
    DESIRED_DECIDED = "propagation:desired:decide"
    DESIRED_REFUSED = "propagation:desired:refuse"
    DESIRED_COLLECTED = "propagation:desired:collect"
    DESIRED_CONFLICT = "crypto:desired:conflict"
    # What callers did with keys
    CHECKPOINT_KEPT = "uses:checkpoint:keep"
    USES_EXPORTED = "uses:log:export"
    # People
    OWNER_GRANTED = "identity:owner:grant"
    LINK_MADE = "identity:link:make"
    LINK_USED = "identity:link:use"
    SIGNED_OUT = "identity:session:end"
