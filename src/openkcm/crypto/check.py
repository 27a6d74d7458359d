"""Looking at a connection from where this region stands, before anything depends on it."""

from __future__ import annotations

from collections.abc import Sequence

from openkcm.crypto.contract import Checked, CheckItem, Found
from openkcm.crypto.here import Here
from openkcm.crypto.hosts.failed import StoreFailed
from openkcm.crypto.outcomes import attempt_all
from openkcm.crypto.ways import Way
from openkcm.sdk.key_store import Finding
from openkcm.sdk.plain_text import display_text
from openkcm.sdk.refusals import Refused

_MAX_CHARACTERS = 1024


async def check(here: Here, items: Sequence[CheckItem]) -> list[Checked | Refused]:
    """Every finding about each connection, and its root key as the store describes it.

    Nothing of a connection is kept. What the key store does not answer is a finding. Refused alone: a tenant that is
    not here or whose keys are blocked or revoked (TENANT_UNKNOWN, REGION_NOT_IN_SET, KEY_BLOCKED, KEY_REVOKED), secrets
    that do not open here (KEY_STORE_DOUBTFUL).
    """
    return await attempt_all(items, lambda item: _checked(here, item))


async def _checked(here: Here, item: CheckItem) -> Checked:
    view = here.state.view(item.tenant)
    view.check_here(here.region)
    view.check_not_blocked()
    ways = here.roots.l1.ways
    way = ways.open(item.tenant, item.connection, beside=".check")
    try:
        findings = await _findings(way)
        reference = version = protection = ""
        if not any(found.level == "bad" for found in findings):
            try:
                described = await way.store.describe()
                reference, version, protection = described.reference, described.version, described.protection
            except StoreFailed as failed:
                findings.append(_of(failed))
    finally:
        ways.close(way)
    return Checked(
        tenant=item.tenant,
        connection=item.connection.id,
        findings=tuple(findings),
        reference=_shown(reference),
        version=_shown(version),
        protection=protection,
    )


async def _findings(way: Way) -> list[Found]:
    try:
        return [_found(one) for one in await way.store.check()]
    except StoreFailed as failed:
        return [_of(failed)]


def _found(one: Finding) -> Found:
    remedy = one.remedy
    return Found(
        level=one.level,
        code=one.code,
        said=_shown(one.said),
        field=one.field,
        permission=one.permission,
        action=_shown(remedy.action) if remedy else "",
        who=_shown(remedy.who) if remedy else "",
        page=remedy.reference if remedy else "",
    )


def _of(failed: StoreFailed) -> Found:
    remedy = failed.remedy
    return Found(
        level="bad",
        code=failed.code,
        said=_shown(failed.message),
        action=_shown(remedy.action) if remedy else "",
        who=_shown(remedy.who) if remedy else "",
        page=remedy.reference if remedy else "",
    )


def _shown(text: str) -> str:
    return display_text(text, max_characters=_MAX_CHARACTERS)
