"""Made-up content for the pages of a root key."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import msgspec

from openkcm.crypto.contract import Choice, DesiredPolicy, Found, worst_case
from openkcm.dashboard.outage import lives, windows
from openkcm.dashboard.outage_view import OutagePage
from openkcm.dashboard.root_key import KINDS, disconnect_off, in_force, next_of, not_usable
from openkcm.dashboard.root_view import ConnectionCard, RootKeyView
from openkcm.dashboard.view import ChainLink, HomeState, KeyState
from openkcm.keystores.view import (
    CheckLine,
    ConnectionLine,
    HealthLine,
    KeyStoresPage,
    OutageLine,
    VersionLine,
)
from tests.web.content import ACCOUNT, FOUND, L2_ID, NOW
from tests.web.keys import PERSON

REGIONS = ("Frankfurt", "Dublin", "Stockholm")
ARN = "arn:aws:kms:eu-central-1:111122223333:key/8f2c1d7a-53be-4c1e-9a55-0d2f7be11c02"
AGO = timedelta(hours=2, minutes=46)
WORDS = {
    "fine": ("", "", ""),
    "no-answer": (
        "The store did not answer in time.",
        "Look at the provider's status page, and whether your network lets the regions out.",
        "whoever runs the key store",
    ),
    "doubtful": ("The credential has expired.", "Give the connection a new credential.", "owner"),
    "suspended": ("The key is disabled.", "Enable the key in your key store.", "the key's owner"),
    "over": (
        "The store cannot be reached.",
        "Find out why the key store does not answer.",
        "whoever runs the key store",
    ),
}


def told(region: str, condition: str = "fine", **changes: object) -> HealthLine:
    said, action, who = WORDS[condition]
    works = condition in ("no-answer", "doubtful")
    made = HealthLine(
        region=region,
        key_id=L2_ID,
        active=True,
        condition=condition,
        since=NOW - AGO,
        verdict={"suspended": "suspended", "over": "window-over"}.get(condition, "serve"),
        seen=() if condition == "fine" else ("no-answer",),
        code="" if condition == "fine" else "timeout",
        said=said,
        action=action,
        who=who,
        proved_at=NOW - AGO,
        ends_at=NOW + timedelta(hours=21, minutes=14) if works else None,
    )
    return msgspec.structs.replace(made, **changes)


def check(region: str, *, good: bool = True, **changes: object) -> CheckLine:
    bad = Found(
        level="bad",
        code="not-permitted",
        said="The role may not use the key for decrypting.",
        permission="kms:Decrypt",
        field="role",
        action="Allow kms:Decrypt on this key for the role shown.",
        who="AWS administrator",
    )
    ok = Found(level="ok", code="wraps", said="It wraps and unwraps.")
    warn = Found(
        level="warn", code="rotation-off", said="The key is never rotated.", action="Switch its rotation on."
    )
    made = CheckLine(
        region=region,
        version=1,
        number=1,
        checked_at=NOW - timedelta(days=3),
        findings=(ok,) if good else (ok, bad, warn),
        good=good,
        reference=ARN,
        root_version="1",
        protection="hardware",
    )
    return msgspec.structs.replace(made, **changes)


def version(number: int = 1, *, counts: bool = True, **changes: object) -> VersionLine:
    made = VersionLine(
        version=number,
        answers={"key": ARN, "role": "arn:aws:iam::111122223333:role/openkcm"},
        secrets=("access_key", "secret_key"),
        created_at=FOUND,
        created_by="operator:kim",
        counts=counts,
    )
    return msgspec.structs.replace(made, **changes)


def connection(number: int = 1, title: str = "AWS KMS, eu-central-1", **changes: object) -> ConnectionLine:
    made = ConnectionLine(
        id=f"c-{number}5f0a4be9d1c2",
        plugin="aws",
        plugin_title="AWS KMS",
        kind="byok",
        title=title,
        version=1,
        newest=1,
        in_force=False,
        used_by=(),
        relinking=False,
        usable=True,
        checking=False,
        checks_asked=1,
        created_at=FOUND,
        created_by="operator:kim",
        versions=(version(),),
        checks=tuple(check(name) for name in REGIONS),
        health=(),
    )
    return msgspec.structs.replace(made, **changes)


def used(*health: HealthLine, **changes: object) -> ConnectionLine:
    """A connection whose root key is in force."""
    made = connection(in_force=True, used_by=(2,), health=health or tuple(map(told, REGIONS)))
    return msgspec.structs.replace(made, **changes)


def outage_of(policy: DesiredPolicy | None = None, *, by: str = "", at: datetime | None = None) -> OutageLine:
    wanted = policy or DesiredPolicy()
    return OutageLine(
        policy=wanted,
        window_s=wanted.policy().window_s,
        worst=worst_case(wanted.policy()),
        set_by=by,
        set_at=at,
    )


MEMORY = outage_of(DesiredPolicy(choice=Choice.MEMORY_ONLY), by=PERSON, at=NOW - timedelta(days=2))


def root_page(*lines: ConnectionLine, outage: OutageLine | None = None, **changes: object) -> RootKeyView:
    found = KeyStoresPage(
        tenant=ACCOUNT.id,
        subject="openkcm-4f0c1d2e3b5a6978",
        regions=REGIONS,
        platform=not any(line.in_force for line in lines),
        connections=lines,
        outage=outage or outage_of(),
    )
    root, regions = in_force(found)
    cards = tuple(
        ConnectionCard(
            line=line,
            kind=KINDS[line.kind],
            relink_off="Your keys are under it already." if line.in_force else not_usable(line, REGIONS),
            disconnect_off=disconnect_off(line),
        )
        for line in lines
    )
    chain = (
        ChainLink(
            level="L1",
            name="Root key",
            detail=root.chain,
            holder=root.holding,
            trouble=root.alarm.condition if root.alarm else "",
        ),
        ChainLink(
            level="L2",
            name="Tenant key",
            detail="Version 2",
            key_id=L2_ID,
            state=KeyState.BLOCKED if root.halted else KeyState.ACTIVE,
        ),
        ChainLink(level="L3", name="Service keys", detail="One for each service", aside="2"),
        ChainLink(
            level="L4", name="Data keys", detail="One for each piece of data, kept by your applications"
        ),
    )
    made = RootKeyView(
        account=ACCOUNT,
        state=HomeState.ACTIVE,
        root=root,
        found=found,
        chain=chain,
        regions=regions,
        silent=tuple(name for name in REGIONS if name not in {line.region for line in regions})
        if root.connection
        else (),
        cards=cards,
        next=next_of(ACCOUNT, root, regions, cards, off="", change=""),
        under_way=None,
        off="",
        platform_off="Your keys are under it already." if not root.connection else "",
        unsafe=False,
        now=NOW,
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # the names are checked by replace itself


def outage_page(policy: DesiredPolicy | None = None, **changes: object) -> OutagePage:
    wanted = policy or DesiredPolicy()
    made = OutagePage(
        account=ACCOUNT,
        state=HomeState.ACTIVE,
        root=root_page(used()).root,
        in_force=outage_of(),
        choice=wanted.choice.value,
        windows=windows(wanted),
        lives=lives(wanted),
        worst=worst_case(wanted.policy()),
        request="page-" + "0" * 32,
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # the names are checked by replace itself
