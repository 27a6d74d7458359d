"""What ``openkcm doctor`` says of rights: that there are no more only where that is so."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from openkcm_tenants_kcp.rights import check_rights

EXPORT = "operations.openkcm.io"
EVERYBODY = {
    "verbs": ["create"],
    "apiGroups": ["authorization.k8s.io"],
    "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
}


def rule(resource: str, *verbs: str, group: str = "apis.kcp.io") -> dict[str, Any]:
    return {"verbs": list(verbs), "apiGroups": [group], "resources": [resource]}


WATCHER = [
    EVERYBODY,
    rule("apiexports/content", "get", "list", "watch") | {"resourceNames": [EXPORT]},
    rule("apiexportendpointslices", "get", "list", "watch"),
]


class Reviewed:
    """An identity that has these rights."""

    server = "https://kcp/clusters/p"

    def __init__(self, *rules: dict[str, Any], incomplete: bool = False) -> None:
        self.status = {"resourceRules": rules, "incomplete": incomplete}

    async def send(self, *_: object, **__: object) -> bytes:
        return msgspec.json.encode({"status": self.status})


async def said_of(reader: Reviewed) -> tuple[str, str]:
    writer = Reviewed(EVERYBODY, rule("apiexports/content", "get", "create", "patch"))
    found = await check_rights(reader, writer, EXPORT, [])  # type: ignore[arg-type]  # all that is asked of it
    assert found[1].level == "ok"
    return found[0].level, found[0].said


async def test_the_rights_that_are_needed_are_all_there_are() -> None:
    assert (await said_of(Reviewed(*WATCHER)))[0] == "ok"


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (rule("apiexports/content", "patch"), "patch apiexports/content"),
        (rule("apiexports", "update"), "update apiexports"),
        (rule("secrets", "get", group=""), "get secrets"),
        (rule("*", "get", group="*"), "get *"),
    ],
)
async def test_rights_on_anything_are_named(more: dict[str, Any], named: str) -> None:
    level, said = await said_of(Reviewed(*WATCHER, more))
    assert level == "warn"
    assert named in said


async def test_what_kcp_does_not_say_is_not_said() -> None:
    assert (await said_of(Reviewed(*WATCHER, incomplete=True)))[0] == "warn"
