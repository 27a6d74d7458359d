"""What a tenant's document says of its own root keys: parts of the statement that reads it, and their meaning."""

from __future__ import annotations

from typing import Final

import msgspec

from openkcm.crypto.contract import Choice, DesiredConnection, DesiredPolicy

#: The ways to the root keys that a key of the tenant $1 needs, whoever may use that key, and to the one that a change
#: under way leads to. Sealed secrets are carried as they are stored.
CONNECTIONS: Final = """(select coalesce(json_agg(json_build_object('id', c.id, 'version', v.version,
        'plugin', c.plugin, 'kind', c.kind, 'answers', v.answers, 'subject', s.subject, 'secrets', v.secrets)
        order by c.id), '[]')::text
    from connections c join connection_versions v on v.connection = c.id and v.version = c.version
        join tenant_subjects s on s.tenant = c.tenant
    where c.tenant = $1 and (
        exists (select from keys where keys.tenant = $1 and keys.connection = c.id and keys.state <> 'destroyed')
        or exists (select from key_requests r join sagas on sagas.id = r.saga
            where r.tenant = $1 and r.connection = c.id and sagas.state in ('running', 'undoing'))))"""
#: What the tenant $1 chose for an outage, or null.
CHOSEN: Final = """(select json_build_object('choice', choice, 'outage_s', outage_s, 'doubtful_s', doubtful_s,
        'governance_s', governance_s, 'encrypting_s', encrypting_s, 'decrypting_s', decrypting_s)::text
    from outage_choices where tenant = $1)"""


class _Kind(msgspec.Struct, frozen=True):
    kind: str


def connections(stored: str) -> tuple[DesiredConnection, ...]:
    """The column of ``CONNECTIONS``, as a document has it."""
    return msgspec.json.decode(stored, type=tuple[DesiredConnection, ...])


def policy(chosen: str | None, stored: str) -> DesiredPolicy:
    """What was chosen, the column of ``CHOSEN``; without a choice the default for the tenant's root keys.

    Where one of them is kept in the customer's own place (HYOK) nothing goes to a region's disk: not while a key that
    it wraps is there, also if another one is in force by now.
    """
    if chosen is not None:
        return msgspec.json.decode(chosen, type=DesiredPolicy)
    return default_policy({each.kind for each in msgspec.json.decode(stored, type=list[_Kind])})


def default_policy(kinds: set[str]) -> DesiredPolicy:
    """The windows of a tenant that chose none, by the kinds of its root keys."""
    return DesiredPolicy(choice=Choice.MEMORY_ONLY if "hyok" in kinds else Choice.LEASE)
