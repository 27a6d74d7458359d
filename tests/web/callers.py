"""The pages of a tenant's applications in every state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from openkcm.crypto.contract import DesiredPolicy
from openkcm.dashboard.callers import removal_follows
from openkcm.dashboard.callers_view import AddPage, CallerLine, CallersPage, LastLine
from openkcm.dashboard.change_view import ChangePage, ChangeState
from openkcm.dashboard.keys_view import AskPage
from openkcm.dashboard.uses_view import Silent
from openkcm.dashboard.view import HomeState
from tests.web.content import ACCOUNT, HOSTILE, NOW
from tests.web.keys import report

REGIONS = ("Frankfurt", "Dublin")
ADDRESSES = {"Frankfurt": "https://kcm.frankfurt.fjordline.example:8081", "Dublin": "http://10.0.0.7:8081"}
BAD = '"><script>alert(1)</script>'


def caller(name: str = "shop-backend", **changes: object) -> CallerLine:
    made = CallerLine(
        name=name,
        service="default",
        verbs=("decrypt", "encrypt"),
        kind="issuer",
        proof="A token of https://kubernetes.default.svc.cluster.local for",
        detail="system:serviceaccount:shop:backend",
        added_by="mara.lindqvist@fjordline.example",
        added_at=NOW,
        missing=(),
        regions=2,
        last=LastLine(at=NOW, what="Encrypt", outcome="done", region="Frankfurt"),
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # the names are checked by replace itself


def callers(*lines: CallerLine, **changes: object) -> CallersPage:
    made = CallersPage(
        account=ACCOUNT, state=HomeState.ACTIVE, callers=lines, regions=REGIONS, addresses=ADDRESSES
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # as above


def adding(kind: str, *, services: Sequence[str] = ("default", "billing"), **changes: object) -> AddPage:
    made = AddPage(
        account=ACCOUNT,
        state=HomeState.ACTIVE,
        kind=kind,
        services=services,
        regions=REGIONS,
        request="page-" + "0" * 32,
        given={},
        wrong={},
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # as above


def removing(line: CallerLine, **changes: object) -> AskPage:
    made = AskPage(
        account=ACCOUNT,
        service="",
        verb="remove-caller",
        version=None,
        title=f"Remove the application {line.name}?",
        lead=f"It may then not use the keys of {line.service} any more.",
        button="Remove it",
        stay="Keep everything as it is",
        consequences=removal_follows(line, REGIONS, DesiredPolicy()),
        request="page-" + "0" * 32,
        caller=line.name,
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # as above


CERTIFICATE = caller(
    "billing-job",
    service="billing",
    verbs=("rewrap",),
    kind="certificate",
    proof="A certificate of your authority for",
    detail="spiffe://shop.example/ns/prod/sa/billing-job",
    missing=("Dublin",),
    last=LastLine(at=NOW, what="Decrypt", outcome="key-revoked", region="Dublin"),
)
PINNED = caller(
    "machine", kind="pinned", proof="One certificate, SHA-256", detail="ab" * 32, regions=0, last=None
)
LISTS: dict[str, CallersPage] = {
    "callers": callers(caller(), CERTIFICATE, PINNED),
    "callers-none": callers(),
    "callers-silent": callers(
        caller(),
        PINNED,
        addresses={"Frankfurt": ""},
        silent=(Silent(region="Dublin", why="It did not answer within 2 s."),),
    ),
    "callers-deleting": callers(caller(), state=HomeState.DELETING, off="The account is deleting."),
    "callers-hostile": callers(
        caller(
            "x",
            proof=f"A token of {BAD}",
            detail=BAD + "y" * 200,
            added_by=BAD,
            missing=(BAD,),
            last=LastLine(at=NOW, what=BAD, outcome=BAD, region=BAD),
        ),
        account=HOSTILE,
        regions=(BAD,),
        addresses={BAD: BAD},
        silent=(Silent(region=BAD, why=BAD),),
    ),
}
FORMS: dict[str, AddPage] = {
    "caller-add-issuer": adding("issuer"),
    "caller-add-certificate": adding("certificate"),
    "caller-add-pinned": adding("pinned"),
    "caller-add-wrong": adding(
        "issuer",
        given={"caller": "Shop", "service": "billing", "issuer": "http://x", "subject": "", "authority": "x"},
        wrong={
            "caller": "Choose another name.",
            "verbs": "Pick at least one.",
            "issuer": "An issuer is an https address.",
            "subject": "A subject has characters.",
            "authority": "This is no certificate.",
        },
    ),
    "caller-add-off": adding("pinned", why_not="The account is uninstalled."),
    "caller-add-hostile": adding(
        "certificate",
        account=HOSTILE,
        services=(BAD,),
        given={"caller": BAD, "authority": f"</textarea>{BAD}", "name": BAD},
        wrong={"name": BAD},
        regions=(BAD,),
    ),
}
REMOVALS: dict[str, AskPage] = {
    "caller-remove": removing(caller()),
    "caller-remove-off": removing(caller(), why_not="The account is deleting."),
}
HELD: dict[str, ChangePage] = {
    "change-held": report(ChangeState.DONE, verb="revoke", lives=DesiredPolicy()),
    "change-held-waits": report(
        ChangeState.REACHING, verb="read-only", lives=DesiredPolicy(encrypting_s=900.0)
    ),
    "change-caller": report(
        ChangeState.DONE,
        verb="remove-caller",
        service="",
        title="Removing the application shop",
        lives=DesiredPolicy(),
    ),
    "change-caller-added": report(
        ChangeState.DONE, verb="add-caller", title="Adding the application shop", lives=DesiredPolicy()
    ),
}
