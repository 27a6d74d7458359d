"""Requests that make no object: what somebody may, who somebody is, tokens of service accounts."""

from __future__ import annotations

import base64
import datetime as dt

from tests.kcp.emulator import answers
from tests.kcp.emulator.access import Tokens, User, may, rules_review, service_account
from tests.kcp.emulator.answers import Answer, as_json
from tests.kcp.emulator.objects import SECRETS, SERVICE_ACCOUNTS, Json, Resource, timestamp
from tests.kcp.emulator.paths import Target
from tests.kcp.emulator.store import Change
from tests.kcp.emulator.wire import Request
from tests.kcp.emulator.world import World
from tests.kcp.emulator.writes import parse

_NEVER = {"selfsubjectrulesreviews", "selfsubjectaccessreviews", "selfsubjectreviews"}
ACCOUNT = "kubernetes.io/service-account.name"


class Reviews:
    """Answers from what RBAC says."""

    def __init__(self, world: World, tokens: Tokens) -> None:
        self.world, self.tokens = world, tokens

    def answer(self, user: User, cluster: str, target: Target, request: Request) -> Answer | None:
        """None for a request that is none of these."""
        if target.verb == "create" and target.plural in _NEVER and target.group.endswith(".k8s.io"):
            answers.check_json(request.headers)
            return as_json(self._review(user, cluster, target, parse(request.body)), 201)
        if (target.plural, target.subresource, target.verb) == ("serviceaccounts", "token", "create"):
            answers.check_json(request.headers)
            return self._token(user, cluster, target, parse(request.body))
        return None

    def _review(self, user: User, cluster: str, target: Target, body: Json) -> Json:
        spec = body.get("spec") or {}
        made: Json = {
            "kind": body.get("kind"),
            "apiVersion": f"{target.group}/{target.version}",
            "metadata": {},
        }
        if target.plural == "selfsubjectreviews":
            info = {"username": user.name, "uid": user.uid, "groups": list(user.groups)}
            return made | {"status": {"userInfo": info}}
        if target.plural == "selfsubjectrulesreviews":
            status = rules_review(self.world, user, cluster, spec.get("namespace", ""))
            return made | {"spec": {}, "status": status}
        wanted = spec.get("resourceAttributes") or {}
        resource = Resource(wanted.get("group", ""), "", wanted.get("resource", ""), "")
        allowed = may(
            self.world,
            user,
            cluster,
            wanted.get("verb", ""),
            resource,
            name=wanted.get("name", ""),
            namespace=wanted.get("namespace", ""),
            subresource=wanted.get("subresource", ""),
        )
        return made | {"spec": spec, "status": {"allowed": allowed}}

    def _token(self, user: User, cluster: str, target: Target, body: Json) -> Answer:
        key = (cluster, target.namespace, target.name)
        account = self.world.home(cluster).get(SERVICE_ACCOUNTS.key, key)
        if not may(
            self.world,
            user,
            cluster,
            "create",
            SERVICE_ACCOUNTS,
            name=target.name,
            namespace=target.namespace,
            subresource="token",
        ):
            raise answers.forbidden(
                user.name,
                "create",
                SERVICE_ACCOUNTS,
                name=target.name,
                namespace=target.namespace,
                subresource="token",
            )
        if account is None:
            raise answers.not_found(SERVICE_ACCOUNTS, target.name)
        seconds = int((body.get("spec") or {}).get("expirationSeconds") or 3600)
        if seconds < 600:
            message = f"Invalid value: {seconds}: may not specify a duration less than 10 minutes"
            raise answers.invalid(
                "authentication.k8s.io",
                "TokenRequest",
                "",
                "spec.expirationSeconds",
                "FieldValueInvalid",
                message,
            )
        now = self.world.clock()
        until = now + dt.timedelta(seconds=seconds)
        token = self.tokens.issue(service_account(cluster, target.namespace, target.name), until=until)
        metadata = {
            "name": target.name,
            "namespace": target.namespace,
            "uid": account.obj["metadata"]["uid"],
            "creationTimestamp": timestamp(now),
        }
        made: Json = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "metadata": metadata}
        made["spec"] = {
            "audiences": ["https://kcp.default.svc"],
            "expirationSeconds": seconds,
            "boundObjectRef": None,
        }
        made["status"] = {"token": token, "expirationTimestamp": timestamp(until)}
        return as_json(made, 201)

    def changed(self, change: Change) -> None:
        """A secret of type service-account-token gets its token; without its secret a token is void."""
        if change.resource != SECRETS.key:
            return
        secret = change.new or change.old
        assert secret is not None
        if secret.obj.get("type") != "kubernetes.io/service-account-token":
            return
        if change.new is None:
            held = (secret.obj.get("data") or {}).get("token")
            if held:
                self.tokens.revoke(base64.b64decode(held).decode())
        elif not (secret.obj.get("data") or {}).get("token"):
            self.world.work.later(0, lambda: self._fill(change))

    def _fill(self, change: Change) -> None:
        assert change.new is not None
        secret = change.shard.get(SECRETS.key, change.new.key)
        if secret is None:
            return
        cluster, namespace, _ = secret.key
        name = secret.obj["metadata"]["annotations"][ACCOUNT]
        if change.shard.get(SERVICE_ACCOUNTS.key, (cluster, namespace, name)) is None:
            return
        token = self.tokens.issue(service_account(cluster, namespace, name))
        data = {"namespace": namespace, "token": token}
        obj = secret.obj
        obj["data"] = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
        change.shard.put(SECRETS.key, secret.key, obj)
