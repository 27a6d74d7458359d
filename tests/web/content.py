"""Made-up content for the pages."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from openkcm.dashboard.view import (
    ChainLink,
    Holding,
    HomePage,
    HomeState,
    KeyState,
    MessageLine,
    RegionLine,
    RegionState,
    ServiceLine,
    ShownToken,
)
from openkcm.provisioning.view import Outcome, ProvisioningPage, SetupState, StepLine
from openkcm.sdk.refusals import Remedy
from openkcm.web.shell import Account

FOUND = datetime(2026, 10, 12, 14, 2, 11, tzinfo=UTC)
NOW = datetime(2026, 11, 24, 13, 12, 19, tzinfo=UTC)
ACCOUNT = Account(id="2k7f9q1xw4m8zt3c", name="Payments", organisation="Fjordline")
HOSTILE = Account(
    id="hostile-1",
    name='<script>alert("1")</script>& "quoted" ' + "Averylongnamewithoutanyspaces" * 4,
    organisation="<img src=x onerror=alert(1)>",
)
L2_ID = "7d3109be5a5f4b0e9c1f2a63d8e47b10"
L3_ID = "17579b8ae2c04d7fb36a90815cfe2d44"
OWNER = "mara.lindqvist@fjordline.example"
PERMISSION = Remedy(
    "Accept the permission claim of OpenKCM on logicalclusters in this account's API binding.",
    "Someone who may edit API bindings in this account",
    "tenants/kcp#permissions",
)
DONE = (
    StepLine(name="admit", outcome=Outcome.DONE, detail="Its creator is known.", took_s=0.041),
    StepLine(
        name="assign",
        outcome=Outcome.DONE,
        detail="Regions: Frankfurt, Dublin, Stockholm. Keys go nowhere else.",
        took_s=0.4,
    ),
    StepLine(
        name="mint",
        outcome=Outcome.DONE,
        detail="Made in Frankfurt, handed sealed to Dublin and Stockholm.",
        took_s=9.7,
        attempt=2,
    ),
    StepLine(
        name="activate",
        outcome=Outcome.DONE,
        detail="One record encrypted in each region and decrypted in every other one.",
        took_s=6.2,
    ),
)


def waiting(*names: str) -> tuple[StepLine, ...]:
    return tuple(StepLine(name=name, outcome=Outcome.WAITING) for name in names)


def not_begun(*names: str) -> tuple[StepLine, ...]:
    return tuple(StepLine(name=name, outcome=Outcome.NOT_BEGUN) for name in names)


def setup(**changes: object) -> ProvisioningPage:
    made = ProvisioningPage(
        account=ACCOUNT,
        state=SetupState.RUNNING,
        found_at=FOUND,
        found_in="Platform Mesh",
        found_at_path="root:orgs:fjordline:payments",
        owner=OWNER,
        regions=("Frankfurt", "Dublin", "Stockholm"),
        elapsed_s=38,
        protected_at=FOUND + timedelta(seconds=18),
        tells=("you", "the operator"),
        steps=(
            *DONE,
            StepLine(name="grant", outcome=Outcome.DONE, took_s=0.012),
            StepLine(
                name="publish",
                outcome=Outcome.RUNNING,
                detail="Waiting for the address to answer from outside.",
                took_s=19,
            ),
            StepLine(
                name="announce",
                outcome=Outcome.FAILED,
                detail="The account does not let OpenKCM read its binding yet.",
                remedy=PERMISSION,
            ),
            StepLine(
                name="notify",
                outcome=Outcome.RETRYING,
                detail="The mail server did not answer.",
                attempt=3,
                next_in_s=8,
            ),
        ),
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # the names are checked by replace itself


def home(**changes: object) -> HomePage:
    made = HomePage(
        account=ACCOUNT,
        state=HomeState.ACTIVE,
        holding=Holding.PLATFORM,
        since=FOUND + timedelta(seconds=18),
        now=NOW,
        owner=OWNER,
        chain=(
            ChainLink(level="L1", name="Root key", detail="Held by the platform", holder=Holding.PLATFORM),
            ChainLink(
                level="L2",
                name="Tenant key",
                detail="One for your account",
                key_id=L2_ID,
                state=KeyState.ACTIVE,
            ),
            ChainLink(level="L3", name="Service keys", detail="One for each service", aside="2"),
            ChainLink(
                level="L4",
                name="Data keys",
                detail="One for each piece of data, kept by your applications",
                aside="1.8\u00a0million",
            ),
        ),
        regions=(
            RegionLine(
                name="Frankfurt", desired=42, observed=42, state=RegionState.IN_STEP, confirmed_ago_s=2
            ),
            RegionLine(name="Dublin", desired=42, observed=42, state=RegionState.IN_STEP, confirmed_ago_s=2),
            RegionLine(
                name="Stockholm", desired=42, observed=42, state=RegionState.IN_STEP, confirmed_ago_s=3.4
            ),
        ),
        services=(
            ServiceLine(
                name="default",
                key_id=L3_ID,
                key_version=7,
                state=KeyState.ACTIVE,
            ),
            ServiceLine(
                name="archive-2024",
                key_id=L3_ID[::-1],
                key_version=1,
                state=KeyState.READ_ONLY,
            ),
        ),
        messages=(
            MessageLine(
                at=NOW, title="The mail server did not answer", text="Tried again by itself.", urgent=True
            ),
            MessageLine(
                at=FOUND + timedelta(seconds=20),
                title="Your dashboard is open",
                text="Encryption is on since 14:02:29, with the platform-managed key.",
            ),
        ),
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # the names are checked by replace itself


BEHIND = (
    RegionLine(name="Frankfurt", desired=42, observed=42, state=RegionState.IN_STEP, confirmed_ago_s=2),
    RegionLine(name="Stockholm", desired=42, observed=41, state=RegionState.BEHIND, confirmed_ago_s=14),
    RegionLine(name="Dublin", desired=42, observed=None, state=RegionState.SILENT, confirmed_ago_s=None),
)
TOKEN = ShownToken(
    token="eyJ0IjoiMms3ZjlxMXh3NG04enQzYyIsInMiOiJkZWZhdWx0In0.Zm9yLXRoZS1waWN0dXJlLW9ubHktbm90LWEtdG9rZW4",
    data_address="http://127.0.0.1:8081",
    tenant=ACCOUNT.id,
    service="default",
    expires_at=NOW + timedelta(minutes=15),
    lives_s=900,
)


ALL_DONE = (
    *DONE,
    *(StepLine(name=n, outcome=Outcome.DONE, took_s=0.2) for n in ("grant", "publish", "announce")),
)
