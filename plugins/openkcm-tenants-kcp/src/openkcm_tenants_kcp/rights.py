"""What our identities may do in the provider's workspace, held against what they need: for ``openkcm doctor``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from openkcm.sdk.checks import Checked
from openkcm_tenants_kcp.api import Answered, Api, Failed
from openkcm_tenants_kcp.manifests import READ, WRITE
from openkcm_tenants_kcp.trouble import said_of
from openkcm_tenants_kcp.wire import ACCOUNTS, CLUSTERS, INFOS, WORKSPACES

_REVIEW: Final = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
_WRITING: Final = frozenset({"create", "update", "patch", "delete", "deletecollection", "*"})


class _Rule(msgspec.Struct, frozen=True, rename="camel"):
    verbs: tuple[str, ...] = ()
    api_groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    resource_names: tuple[str, ...] = ()


class _Rules(msgspec.Struct, frozen=True, rename="camel"):
    resource_rules: tuple[_Rule, ...] = ()
    incomplete: bool = False


class _Review(msgspec.Struct, frozen=True):
    status: _Rules = _Rules()


async def check_rights(reader: Api, writer: Api, export: str, urls: Sequence[str]) -> list[Checked]:
    """Rights that are missing, rights that are more than is needed, and claims that are not served."""
    found = []
    apart = writer is not reader
    for api, who, needed in ((reader, "kubeconfig", READ), (writer, "writer_kubeconfig", WRITE)):
        if api is writer and not apart and who == "writer_kubeconfig":
            found.append(
                Checked(
                    level="warn",
                    said="One identity reads and writes.",
                    action="Set writer_kubeconfig to the identity openkcm-writer, and kubeconfig to openkcm-watcher.",
                )
            )
            continue
        verbs = (*READ, *(verb for verb in WRITE if verb not in READ)) if not apart else needed
        try:
            found.append(await _of(api, who, export, verbs, slices=api is reader))
        except Failed as failed:
            what, action = said_of(failed)
            if isinstance(failed, Answered) and failed.status in (403, 404):
                action = f"Its server must be the provider's workspace; it is {api.server}."
            found.append(Checked(level="bad", said=f"{who}: {what}", action=action))
    found += [each for url in urls for each in await _claims(reader, url)]
    return found


async def _of(api: Api, who: str, export: str, verbs: Sequence[str], *, slices: bool) -> Checked:
    body = await api.send(
        "POST",
        f"{api.server}{_REVIEW}",
        {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectRulesReview",
            "spec": {"namespace": "default"},
        },
    )
    rules = msgspec.json.decode(body, type=_Review).status
    held = _held(rules, "apiexports/content", export)
    missing = [f"{verb} apiexports/content ({export})" for verb in verbs if not {verb, "*"} & held]
    if slices:
        of_slices = _held(rules, "apiexportendpointslices", export)
        missing += [f"{verb} apiexportendpointslices" for verb in READ if not {verb, "*"} & of_slices]
    if missing:
        return Checked(
            level="bad",
            said=f"{who} lacks at {api.server}: {', '.join(missing)}.",
            action="Apply what `openkcm kcp manifests --part rbac` prints.",
        )
    more = [f"{verb} apiexports/content" for verb in sorted((held & _WRITING) - set(verbs))] + _others(rules)
    if more:
        return Checked(
            level="warn",
            said=f"{who} may more than it needs: {', '.join(more[:5])}{' and more' if len(more) > 5 else ''}.",
            action="Use the identities that `openkcm kcp manifests --part rbac` makes.",
        )
    if rules.incomplete:
        return Checked(
            level="warn",
            said=f"{who} has the rights it needs; kcp does not say whether it has more.",
            action="Use the identities that `openkcm kcp manifests --part rbac` makes.",
        )
    return Checked(level="ok", said=f"{who}: {api.server}, with the rights it needs and no more.")


def _others(rules: _Rules) -> list[str]:
    """Rights on anything else that let it write, or read secrets. Everybody may ask what they themselves may."""
    found = {
        f"{verb} {resource}"
        for rule in rules.resource_rules
        if not set(rule.api_groups) <= {"authorization.k8s.io", "authentication.k8s.io"}
        for resource in rule.resources
        if resource != "apiexports/content"
        for verb in rule.verbs
        if verb in _WRITING or resource in ("secrets", "*")
    }
    return sorted(found)


def _held(rules: _Rules, resource: str, name: str) -> set[str]:
    return {
        verb
        for rule in rules.resource_rules
        if {"apis.kcp.io", "*"} & set(rule.api_groups)
        and {resource, "*"} & set(rule.resources)
        and (not rule.resource_names or name in rule.resource_names)
        for verb in rule.verbs
    }


async def _claims(reader: Api, url: str) -> list[Checked]:
    """Whether what tells a deletion, and what proves an owner, is served at this endpoint."""
    found = []
    for resource, means in (
        (CLUSTERS, "a deleted account looks like an uninstalled one, and its keys are kept"),
        (ACCOUNTS, "who made an account is not known by itself"),
        (INFOS, "who made an account is not known by itself"),
        (WORKSPACES, "who made an account is not known by itself"),
    ):
        try:
            await reader.get(f"{url}/clusters/*{resource.path}", {"limit": "1"})
        except Answered as refused:
            if refused.status in (403, 404):
                found.append(
                    Checked(
                        level="warn",
                        said=f"{resource.plural} are not served at {url}: {means}.",
                        action="Give the identity hashes to `openkcm kcp manifests`, and accept the claims.",
                    )
                )
            else:
                found.append(
                    Checked(level="bad", said=f"{url}: {said_of(refused)[0]}", action=said_of(refused)[1])
                )
        except Failed as failed:
            found.append(Checked(level="bad", said=f"{url}: {said_of(failed)[0]}", action=said_of(failed)[1]))
            break
    return found
