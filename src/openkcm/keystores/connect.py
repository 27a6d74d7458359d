"""Connecting a root key: answers are taken by what the key store declares, secrets sealed to each region at once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from openkcm.audit.record import record
from openkcm.audit.verbs import AuditVerb
from openkcm.catalog.registry import KeyStores
from openkcm.crypto.contract import DesiredConnection, SealedSecret, secret_context
from openkcm.identity.step_up import check_step_up
from openkcm.kernel.clock import Clock
from openkcm.kernel.db import Role, Transaction, transaction
from openkcm.kernel.ids import random_id
from openkcm.keystores import store
from openkcm.keystores.declared import declared
from openkcm.keystores.model import PAGE
from openkcm.parties.labels import Sealed
from openkcm.parties.pins import Pins
from openkcm.parties.sealed import seal
from openkcm.sdk.fields import Field, wrong_answers
from openkcm.sdk.key_store import Declaration
from openkcm.sdk.plain_text import display_text, plain_text
from openkcm.sdk.refusals import Permanent, Refusal, Remedy
from openkcm.tenancy.asking import Asker, locked_for
from openkcm.tenancy.model import Standing, Tenant

MAX_TITLE_CHARACTERS: Final = 80
_REQUEST: Final = re.compile(r"[!-~]{1,200}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Connecting:
    """``pins`` are those of the regions that secrets are sealed to. ``role``: whose rights the transactions take."""

    pins: Pins
    stores: KeyStores
    clock: Clock
    without_step_up: bool = False
    role: Role = Role.SYSTEM


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What somebody gave: ``answers`` that are not sensitive, and ``secrets``, which are seen here and never again.

    ``connection`` is the one that is changed, empty for a new one. The same ``request`` again changes nothing.
    """

    tenant: str
    plugin: str
    request: str
    by: Asker
    answers: Mapping[str, str]
    secrets: Mapping[str, str] = field(repr=False, default_factory=dict)
    connection: str = ""
    title: str = ""


class Connected(msgspec.Struct, frozen=True, kw_only=True):
    """What it led to. ``changed`` is false where all was so already, or the request is answered a second time."""

    connection: str
    version: int
    subject: str
    changed: bool


async def connect(connecting: Connecting, given: Given) -> Connected:
    """The tenant has the connection, or this version of it; its secrets are sealed, and open in the regions alone.

    A new version of a connection that no key uses counts at once. Of one that a key uses only the secrets can be
    replaced, and they count once every region's check has found them good. Same answers and no secrets: no change.

    Raises:
        Permanent: PLUGIN_MISSING, PLUGIN_BROKEN; STEP_UP_NEEDED, for a key that stays at the customer's (HYOK);
            TENANT_UNKNOWN, TENANT_STATE, NOT_PERMITTED, BAD_REQUEST; ANSWERS_INVALID, with every field; SECRETS_NEEDED;
            CONNECTION_UNKNOWN, CONNECTION_IN_USE; PARTY_UNKNOWN, a region of the set has no pin.
    """
    declaration = declared(connecting.stores, given.plugin)
    if declaration.kind == "hyok":
        check_step_up("connect", without_step_up=connecting.without_step_up)
    answers = {name: value for name, value in given.answers.items() if value}
    async with transaction(connecting.role, given.tenant) as tx:
        _check_lives(await locked_for(tx, given.tenant, given.by))
        if (before := await _before(tx, given, answers)) is not None:
            return before
        _check_named(given)
        if given.connection:
            return await _change(tx, connecting, given, declaration, answers)
        _check_answers(declaration, given)
        made = f"c-{random_id()}"
        at, by = connecting.clock.now(), given.by.actor
        title = given.title or declaration.title
        about = {"plugin": declaration.name, "kind": declaration.kind, "title": title}
        await store.add(tx, given.tenant, made, at=at, by=by, **about)
        return await _add(tx, connecting, given, made, 1, answers)


async def _before(tx: Transaction, given: Given, answers: Mapping[str, str]) -> Connected | None:
    if not _REQUEST.fullmatch(given.request):
        raise _bad("A request's name has 1 to 200 printable ASCII characters.", "Give it another name.")
    there = await store.requested(tx, given.tenant, given.request)
    if there is None:
        return None
    connection, version, plugin, told = there
    if (plugin, told) != (given.plugin, answers) or given.connection not in ("", connection):
        raise _bad(
            f"The request {given.request} of tenant {given.tenant} was another one.",
            "Give each request a name of its own.",
        )
    subject = await store.subject_of(tx, given.tenant)
    return Connected(connection=connection, version=version, subject=subject, changed=False)


async def _change(
    tx: Transaction,
    connecting: Connecting,
    given: Given,
    declaration: Declaration,
    answers: Mapping[str, str],
) -> Connected:
    there = await store.connection_of(tx, given.tenant, given.connection)
    if there.plugin != given.plugin:
        raise _bad(
            f"Connection {there.id} is to a key store of the kind {there.plugin}.",
            "Connect the other one as a connection of its own.",
        )
    newest = await store.version_of(tx, given.tenant, there.id, there.newest)
    same = newest.answers == answers
    if same and not any(given.secrets.values()):
        return Connected(connection=there.id, version=there.newest, subject=newest.subject, changed=False)
    if there.in_use and not same:
        raise Permanent(
            Refusal.CONNECTION_IN_USE,
            f"A key uses connection {there.id}: what it says of the root key stays, only its secrets can be replaced.",
            remedy=Remedy("Connect the other root key anew, then relink to that.", "owner", PAGE),
        )
    _check_sealed_again(declaration, newest, given)
    _check_answers(declaration, given)
    made = await _add(tx, connecting, given, there.id, there.newest + 1, answers)
    if not there.in_use:
        await store.let_count(tx, given.tenant, there.id, made.version)
    return made


async def _add(
    tx: Transaction,
    connecting: Connecting,
    given: Given,
    connection: str,
    version: int,
    answers: Mapping[str, str],
) -> Connected:
    at, by = connecting.clock.now(), given.by.actor
    verb = AuditVerb.CONNECTION_MADE if version == 1 else AuditVerb.CONNECTION_CHANGED
    subject = await store.subject_of(tx, given.tenant)
    plain = DesiredConnection(
        id=connection, version=version, plugin=given.plugin, answers=dict(answers), subject=subject
    )
    regions = await store.set_of(tx, given.tenant)
    secrets = tuple(
        _sealed(connecting.pins, plain, given.tenant, region, name, value)
        for region in regions
        for name, value in sorted(given.secrets.items())
        if value
    )
    made = msgspec.structs.replace(plain, secrets=secrets)
    await store.add_version(tx, given.tenant, made, request=given.request, at=at, by=by)
    detail = {
        "plugin": given.plugin,
        "version": version,
        "answers": sorted(answers),
        "secrets": sorted(name for name, value in given.secrets.items() if value),
        "regions": list(regions),
    }
    await record(tx, given.tenant, actor=by, verb=verb, object=f"connection:{connection}", detail=detail)
    return Connected(connection=connection, version=version, subject=subject, changed=True)


def _sealed(
    pins: Pins, connection: DesiredConnection, tenant: str, region: str, name: str, value: str
) -> SealedSecret:
    context = secret_context(connection, region=region, tenant=tenant, field=name)
    public = pins.current("region", region).sealing
    return SealedSecret(
        region=region, field=name, sealed=seal(value.encode(), public, Sealed.CREDENTIAL, *context)
    )


def _check_answers(declaration: Declaration, given: Given) -> None:
    asked = [each for each in declaration.fields if not each.once]
    wrong = wrong_answers(asked, {**given.answers, **given.secrets})
    sensitive = {each.name for each in asked if each.sensitive}
    wrong |= {name: "It is secret, and was not given as one." for name in given.answers if name in sensitive}
    wrong |= {
        name: "It is not secret, and was given as one."
        for name in given.secrets
        if name not in sensitive and name not in wrong
    }
    wrong |= {
        each.name: f"{each.label} sets something up once, and is stored nowhere."
        for each in declaration.fields
        if each.once and (given.answers.get(each.name) or given.secrets.get(each.name))
    }
    if wrong:
        said = " ".join(
            f"{display_text(name, max_characters=40)}: {why}" for name, why in sorted(wrong.items())
        )
        raise Permanent(
            Refusal.ANSWERS_INVALID,
            f"Nothing was stored. {said}",
            remedy=Remedy("Correct the fields that are named.", "you", "reference/key-stores#fields"),
        )


def _check_sealed_again(declaration: Declaration, newest: DesiredConnection, given: Given) -> None:
    labels: Mapping[str, Field] = {each.name: each for each in declaration.fields}
    before = sorted({secret.field for secret in newest.secrets})
    missing = [name for name in before if name not in given.secrets and name in labels]
    if missing:
        named = ", ".join(labels[name].label for name in missing)
        raise Permanent(
            Refusal.SECRETS_NEEDED,
            f"What was sealed before does not open with another version: give again {named}. Nothing was changed.",
            remedy=Remedy("Give every secret of this connection again.", "you", PAGE),
        )


def _check_named(given: Given) -> None:
    names: Sequence[str] = (*given.answers, *given.secrets)
    if len(names) != len(set(names)) or len(names) > 100:
        raise _bad("An answer was given twice.", "Give each answer once.")
    if not plain_text(given.title, max_characters=MAX_TITLE_CHARACTERS):
        raise _bad(
            f"A title has at most {MAX_TITLE_CHARACTERS} characters in one line.", "Give it another title."
        )


def _check_lives(tenant: Tenant) -> None:
    if not tenant.past_pivot or tenant.presence not in (Standing.PRESENT, Standing.UNINSTALLED):
        raise Permanent(
            Refusal.TENANT_STATE,
            f"Tenant {tenant.id} is {tenant.presence if tenant.past_pivot else tenant.stage}: "
            "no key store is connected for it.",
            remedy=Remedy("See how far it is: openkcm tenants show.", "operator", "operate/tenants"),
        )


def _bad(message: str, action: str) -> Permanent:
    return Permanent(Refusal.BAD_REQUEST, message, remedy=Remedy(action, "you", PAGE))
