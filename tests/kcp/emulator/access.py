"""Who somebody is and what they may: bearer tokens, client certificates, RBAC as it lies in the workspaces."""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.kcp.emulator.objects import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    ROLE_BINDINGS,
    ROLES,
    Json,
    Resource,
    encode,
    new_uid,
)
from tests.kcp.emulator.world import World

ADMIN_GROUP = "system:kcp:admin"
ALL_VERBS = ("get", "list", "watch", "create", "update", "patch", "delete")


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who has been told apart."""

    name: str
    uid: str = field(default_factory=new_uid)
    groups: tuple[str, ...] = ("system:authenticated",)
    cluster: str = ""
    """A service account's workspace; it has no rights in any other."""

    @property
    def admin(self) -> bool:
        return ADMIN_GROUP in self.groups

    @property
    def as_owner(self) -> str:
        return encode({"username": self.name, "uid": self.uid, "groups": list(self.groups)}).decode()


ANONYMOUS = User("system:anonymous", uid="", groups=("system:unauthenticated",))


@dataclass
class Tokens:
    """The bearer tokens that are good."""

    users: dict[str, User] = field(default_factory=dict)
    expires: dict[str, dt.datetime] = field(default_factory=dict)
    noted: Callable[[str, User], None] = lambda _token, _user: None
    """Called for each token that lives on after a restart."""

    def issue(self, user: User, *, until: dt.datetime | None = None, token: str = "") -> str:
        token = token or secrets.token_urlsafe(24)
        self.users[token] = user
        if until is not None:
            self.expires[token] = until
        elif not user.admin:
            self.noted(token, user)
        return token

    def revoke(self, token: str) -> None:
        self.users.pop(token, None)
        self.expires.pop(token, None)

    def rotate(self, name: str) -> str:
        """A new token for this user; the old ones are refused with 401 from now on."""
        old = [token for token, user in self.users.items() if user.name == name]
        user = self.users[old[0]]
        for token in old:
            self.revoke(token)
        return self.issue(user)

    def user(self, token: str, now: dt.datetime) -> User | None:
        if (until := self.expires.get(token)) and until <= now:
            return None
        return self.users.get(token)


def service_account(cluster: str, namespace: str, name: str) -> User:
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
    return User(f"system:serviceaccount:{namespace}:{name}", groups=groups, cluster=cluster)


def from_certificate(peer: dict[str, object] | None) -> User | None:
    """The client's certificate names its user (CN) and groups (O)."""
    if not peer:
        return None
    subject = peer.get("subject")
    assert isinstance(subject, tuple)
    names: dict[str, list[str]] = {}
    for relative in subject:
        for kind, value in relative:
            names.setdefault(kind, []).append(value)
    groups = (*names.get("organizationName", []), "system:authenticated")
    return User(names["commonName"][0], uid="", groups=groups)


def rules(world: World, user: User, cluster: str, namespace: str = "") -> Iterator[Json]:
    """The RBAC rules that this user has in this workspace (and namespace)."""
    if cluster not in world.homes or (user.cluster and user.cluster != cluster):
        return
    shard = world.home(cluster)
    for bindings, roles in ((CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES), (ROLE_BINDINGS, ROLES)):
        for binding in shard.table(bindings.key).clusters.get(cluster, {}).values():
            if binding.key[1] != (namespace if bindings.namespaced else ""):
                continue
            if not any(_is_subject(one, user) for one in binding.obj.get("subjects") or []):
                continue
            reference = binding.obj["roleRef"]
            kind = CLUSTER_ROLES if reference["kind"] == "ClusterRole" else roles
            where = binding.key[1] if kind.namespaced else ""
            role = shard.get(kind.key, (cluster, where, reference["name"]))
            yield from (role.obj.get("rules") or []) if role else ()


def _is_subject(subject: Json, user: User) -> bool:
    if subject["kind"] == "Group":
        return subject["name"] in user.groups
    if subject["kind"] == "ServiceAccount":
        return f"system:serviceaccount:{subject.get('namespace')}:{subject['name']}" == user.name
    return bool(subject["name"] == user.name)


def may(
    world: World,
    user: User,
    cluster: str,
    verb: str,
    resource: Resource,
    *,
    name: str = "",
    namespace: str = "",
    subresource: str = "",
) -> bool:
    """Whether RBAC of this workspace lets the user do so."""
    if user.admin:
        return True
    plural = f"{resource.plural}/{subresource}" if subresource else resource.plural
    found = list(rules(world, user, cluster))
    if namespace:
        found += rules(world, user, cluster, namespace)
    return any(_allows(rule, verb, resource.group, plural, name) for rule in found)


def _allows(rule: Json, verb: str, group: str, plural: str, name: str) -> bool:
    def holds(wanted: str, field_name: str) -> bool:
        return bool({wanted, "*"} & set(rule.get(field_name) or ()))

    names = rule.get("resourceNames") or ()
    return (
        holds(verb, "verbs")
        and holds(group, "apiGroups")
        and holds(plural, "resources")
        and (not names or name in names)
    )


_BASIC = [
    {
        "verbs": ["create"],
        "apiGroups": ["authorization.k8s.io"],
        "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
    },
    {"verbs": ["create"], "apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"]},
]
_WELL_KNOWN = [
    "/.well-known/openid-configuration",
    "/.well-known/openid-configuration/",
    "/openid/v1/jwks",
    "/openid/v1/jwks/",
]
_DISCOVERY = [
    *("/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*"),
    *("/readyz", "/version", "/version/"),
]
_HEALTH = ["/healthz", "/livez", "/readyz", "/version", "/version/"]


def rules_review(world: World, user: User, cluster: str, namespace: str = "") -> Json:
    """The status of a SelfSubjectRulesReview."""
    own = [
        {name: rule[name] for name in ("verbs", "apiGroups", "resources", "resourceNames") if rule.get(name)}
        for rule in [
            *rules(world, user, cluster),
            *(rules(world, user, cluster, namespace) if namespace else ()),
        ]
        if rule.get("resources")
    ]
    if user.admin:
        own.append({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]})
    paths = [_WELL_KNOWN, _DISCOVERY, _HEALTH]
    return {
        "resourceRules": [*_BASIC, *own],
        "nonResourceRules": [
            *({"verbs": ["get"], "nonResourceURLs": path} for path in paths),
            {"verbs": ["access"], "nonResourceURLs": ["/"]},
        ],
        "incomplete": False,
    }
