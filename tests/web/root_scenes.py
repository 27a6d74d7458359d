"""The pages of a root key in every state."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from openkcm.crypto.contract import Choice, DesiredPolicy
from openkcm.dashboard.change_view import ChangeState
from openkcm.dashboard.keys import KeysPage
from openkcm.dashboard.keys_view import AskPage
from openkcm.dashboard.outage_view import OutagePage
from openkcm.dashboard.root_asks import disconnect_page, relink_page
from openkcm.dashboard.root_view import RootKeyView
from openkcm.dashboard.view import HomePage, HomeState, RootState
from tests.web.content import ACCOUNT, HOSTILE, home
from tests.web.keys import ROTATION, all_keys, deciding, found, line, one_key
from tests.web.root_keys import (
    MEMORY,
    REGIONS,
    check,
    connection,
    outage_page,
    root_page,
    told,
    used,
    version,
)

SILENT = tuple(told(name, "no-answer") for name in REGIONS)
REFUSED = tuple(told(name, "suspended") for name in REGIONS)
MIXED = (told("Frankfurt"), told("Dublin", "no-answer"), told("Stockholm", "suspended"))
OTHER = connection(2, "Vault in Oslo", kind="hyok", plugin="vault", plugin_title="Vault")
BAD = connection(
    3, "AWS KMS, eu-west-1", usable=False, checks=tuple(check(name, good=False) for name in REGIONS)
)
HOSTILE_ROOT = used(
    told("Frankfurt", "doubtful", said="<i>", action="<a>", who="<u>", code="<k>"),
    title='<script>alert("1")</script>' + "x" * 40,
    plugin_title="<b>x@",
    created_by="operator:<b>x@",
    versions=(version(answers={"<u>": "<a>" + "y" * 200}, secrets=("<i>",)),),
    checks=(check("<s>", good=False, reference="<k>"),),
)

ROOT_KEYS: dict[str, RootKeyView] = {
    "root-platform": root_page(),
    "root-platform-ready": root_page(connection(), unsafe=True),
    "root-platform-unchecked": root_page(connection(checks=(), usable=False)),
    "root-platform-checking": root_page(connection(checks=(), usable=False, checking=True)),
    "root-platform-faulty": root_page(BAD),
    "root-own": root_page(used(), OTHER),
    "root-own-not-heard": root_page(used(told("Frankfurt"))),
    "root-own-version-waits": root_page(
        used(newest=2, usable=False, versions=(version(2, counts=False), version(1)))
    ),
    "root-own-older": root_page(
        used(),
        connection(4, "Old store", used_by=(1,), health=(told("Dublin", "no-answer", active=False),)),
        connection(5, "Next", relinking=True),
        outage=MEMORY,
    ),
    "root-silent": root_page(used(*SILENT)),
    "root-silent-memory": root_page(used(*SILENT, kind="hyok"), outage=MEMORY),
    "root-doubtful": root_page(used(*(told(name, "doubtful") for name in REGIONS))),
    "root-refused": root_page(used(*REFUSED)),
    "root-over": root_page(used(*(told(name, "over") for name in REGIONS))),
    "root-mixed": root_page(used(*MIXED), OTHER),
    "root-cut-off": root_page(used(told("Frankfurt", verdict="cut-off"))),
    "root-relinking": root_page(
        OTHER, under_way=replace(ROTATION, verb="relink", title="Relinking all keys of Payments")
    ),
    "root-relinking-back": root_page(
        used(), under_way=replace(ROTATION, verb="relink", state=ChangeState.UNDOING)
    ),
    "root-uninstalled": root_page(used(), state=HomeState.UNINSTALLED, platform_off="No keys are made."),
    "root-uninstalled-over": root_page(used(), state=HomeState.UNINSTALLED_OVER),
    "root-deleting": root_page(used(*REFUSED), state=HomeState.DELETING, off="The account is being deleted."),
    "root-gone": root_page(state=HomeState.GONE, off="The account is gone."),
    "root-hostile": root_page(HOSTILE_ROOT, account=HOSTILE),
}
OUTAGES: dict[str, OutagePage] = {
    "outage": outage_page(),
    "outage-memory": outage_page(DesiredPolicy(choice=Choice.MEMORY_ONLY), in_force=MEMORY),
    "outage-closed": outage_page(DesiredPolicy(choice=Choice.FAIL_CLOSED)),
    "outage-odd-windows": outage_page(
        DesiredPolicy(outage_s=7777.0, doubtful_s=0.0, governance_s=300.0), root=RootState()
    ),
    "outage-wrong": outage_page(wrong="Nothing was changed. A window is picked from its list."),
    "outage-refused": outage_page(why_not="The account is being deleted.", state=HomeState.DELETING),
    "outage-hostile": outage_page(account=HOSTILE, wrong="<i>"),
}


def _keys() -> KeysPage:
    return found()


def _relink(page: RootKeyView, to: str, **changes: object) -> AskPage:
    made = relink_page(ACCOUNT, page.found, _keys(), to, deciding(), request="page-" + "0" * 32)
    return replace(made, **changes)  # type: ignore[arg-type]  # the names are checked by replace itself


ROOT_ASKED: dict[str, AskPage] = {
    "ask-relink-own": _relink(ROOT_KEYS["root-platform-ready"], connection().id),
    "ask-relink-closed": _relink(
        root_page(
            connection(),
            outage=msgspec.structs.replace(MEMORY, policy=DesiredPolicy(choice=Choice.FAIL_CLOSED)),
        ),
        connection().id,
    ),
    "ask-relink-back": _relink(ROOT_KEYS["root-silent"], ""),
    "ask-relink-hyok": _relink(ROOT_KEYS["root-own"], OTHER.id, unsafe=True),
    "ask-relink-refused": _relink(ROOT_KEYS["root-platform-faulty"], BAD.id),
    "ask-disconnect": disconnect_page(
        ACCOUNT, ROOT_KEYS["root-own"].found, _keys(), OTHER.id, request="page-" + "0" * 32
    ),
    "ask-disconnect-refused": disconnect_page(
        ACCOUNT, ROOT_KEYS["root-own"].found, _keys(), used().id, request="page-" + "0" * 32
    ),
}


def _home(name: str, **changes: object) -> HomePage:
    page = ROOT_KEYS[name]
    return home(holding=page.root.holding, root=page.root, chain=page.chain, **changes)


ROOT_HOMES: dict[str, HomePage] = {
    "home-own-root-key": _home("root-own"),
    "home-root-silent": _home("root-silent"),
    "home-root-doubtful": _home("root-doubtful"),
    "home-root-refused": _home("root-refused"),
    "home-root-over": _home("root-over"),
    "home-root-mixed": _home("root-mixed"),
    "home-root-silent-uninstalled": _home("root-silent", state=HomeState.UNINSTALLED),
    "home-root-hostile": replace(_home("root-hostile"), account=HOSTILE),
}
ROOT_ONES = {"key-root-refused": one_key(line("default"), root=ROOT_KEYS["root-refused"].root)}
ROOT_LISTS = {
    "keys-own-root": all_keys(root=ROOT_KEYS["root-own"].root),
    "keys-root-silent": all_keys(root=ROOT_KEYS["root-silent"].root),
    "keys-root-refused": all_keys(root=ROOT_KEYS["root-refused"].root),
}
