"""Users and service accounts with exactly the rights that a test gives them, and kubeconfigs in every kind."""

from __future__ import annotations

import base64
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.kcp.emulator.access import ALL_VERBS, User, service_account
from tests.kcp.emulator.kcp import Kcp
from tests.kcp.emulator.objects import Json, encode

READING = ("get", "list", "watch")
WRITING = ALL_VERBS
_RBAC = "rbac.authorization.k8s.io"


def user(kcp: Kcp, name: str, *, admin_of: Sequence[str] = ()) -> str:
    """The token of a user who may do everything in these workspaces and nothing elsewhere."""
    for cluster in admin_of:
        rule = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
        grant(
            kcp, cluster, name.replace("@", "-at-"), [rule], {"kind": "User", "name": name, "apiGroup": _RBAC}
        )
    return kcp.tokens.issue(User(name))


def provider(
    kcp: Kcp, cluster: str, export: str, name: str, verbs: Sequence[str] = READING, *, secret: bool = True
) -> str:
    """The token of a service account that may use the export's virtual workspace with these verbs.

    It may read endpoint slices besides. With ``secret`` the token lies in a Secret of type service-account-token and
    lives as long as that.
    """
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
    kcp.api.create(cluster, account, "default")
    content = {
        "apiGroups": ["apis.kcp.io"],
        "resources": ["apiexports/content"],
        "resourceNames": [export],
        "verbs": list(verbs),
    }
    slices = {
        "apiGroups": ["apis.kcp.io"],
        "resources": ["apiexportendpointslices"],
        "verbs": list(READING),
    }
    grant(
        kcp,
        cluster,
        name,
        [content, slices],
        {"kind": "ServiceAccount", "name": name, "namespace": "default"},
    )
    found = kcp.world.resolve(cluster)
    assert found is not None
    token = kcp.tokens.issue(service_account(found, "default", name))
    if secret:
        kcp.api.create(
            cluster,
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "type": "kubernetes.io/service-account-token",
                "metadata": {
                    "name": f"{name}-token",
                    "annotations": {"kubernetes.io/service-account.name": name},
                },
                "data": {"token": base64.b64encode(token.encode()).decode()},
            },
            "default",
        )
    return token


def grant(kcp: Kcp, cluster: str, name: str, rules: list[Json], subject: Json) -> None:
    """A ClusterRole with these rules, bound to the subject."""
    role = {"apiVersion": f"{_RBAC}/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules}
    kcp.api.create(cluster, role)
    binding = {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "subjects": [subject],
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": name},
    }
    kcp.api.create(cluster, binding)


def kubeconfig(server: str, credentials: Json, *, ca: str = "") -> bytes:
    """A kubeconfig for this server (a workspace's or a virtual workspace's URL), as JSON, which is YAML.

    ``credentials`` is the user as a kubeconfig has it: ``{"token": …}``, ``{"tokenFile": …}``, ``exec_user(…)``,
    ``{"client-certificate": …, "client-key": …}``.
    """
    cluster: Json = {"server": server}
    if ca:
        cluster["certificate-authority-data"] = base64.b64encode(ca.encode()).decode()
    return encode(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "kcp", "cluster": cluster}],
            "users": [{"name": "somebody", "user": credentials}],
            "contexts": [{"name": "here", "context": {"cluster": "kcp", "user": "somebody"}}],
            "current-context": "here",
        }
    )


_PROGRAM = """
import json, sys
calls, token_file, version = sys.argv[1:]
open(calls, "a").write("called\\n")
token, *expires = open(token_file).read().split()
status = {"token": token} | ({"expirationTimestamp": expires[0]} if expires else {})
print(json.dumps({"apiVersion": version, "kind": "ExecCredential", "status": status}))
"""


def exec_user(folder: Path, token_file: Path, *, version: str = "v1") -> Json:
    """Credentials from a program that tells what ``token_file`` holds at that moment: a token, and when it expires.

    Each call is a line of ``credential-calls`` in the folder. ``version`` is that of ``client.authentication.k8s.io``.
    """
    script, calls = folder / "credential.py", folder / "credential-calls"
    script.write_text(_PROGRAM)
    api_version = f"client.authentication.k8s.io/{version}"
    return {
        "exec": {
            "apiVersion": api_version,
            "command": sys.executable,
            "args": ["-I", str(script), str(calls), str(token_file), api_version],
            "interactiveMode": "Never",
        }
    }
