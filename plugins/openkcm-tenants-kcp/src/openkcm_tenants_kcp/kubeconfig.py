"""A kubeconfig, read and checked: where kcp is, whom we believe there, and by what we are known."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import yaml

from openkcm.sdk.refusals import Permanent, Refusal, Remedy

_MAX_BYTES = 1_048_576
#: What would weaken the connection, or means something that this plugin does not do; each is refused by its name.
_CLUSTER_REFUSED = ("insecure-skip-tls-verify", "proxy-url", "tls-server-name")
_USER_REFUSED = ("username", "password", "auth-provider", "as", "as-uid", "as-groups", "as-user-extra")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exec:
    """The command that prints an ExecCredential."""

    command: str
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    api_version: str = "client.authentication.k8s.io/v1"
    directory: Path = Path("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubeconfig:
    """One context of the file. ``server`` is the provider's workspace; of the ways to be known at most one is set.

    ``ca_pem`` empty means the system's CAs. Secrets are never shown.
    """

    server: str
    ca_pem: str = ""
    token: str = field(default="", repr=False)
    token_file: Path | None = None
    certificate_pem: bytes = field(default=b"", repr=False)
    key_pem: bytes = field(default=b"", repr=False)
    exec: Exec | None = field(default=None, repr=False)


def read_kubeconfig(path: Path, *, context: str = "") -> Kubeconfig:
    """The context of this name, or the file's current one.

    Raises:
        Permanent: SETTING_INVALID, naming the file and what in it is missing, or is not taken.
    """
    document = _document(path)
    name = context or _text(path, document, "current-context")
    chosen = _named(path, document, "contexts", name, "context")
    cluster = _named(path, document, "clusters", _text(path, chosen, "cluster"), "cluster")
    user = _named(path, document, "users", _text(path, chosen, "user"), "user")
    for entry, refused in ((cluster, _CLUSTER_REFUSED), (user, _USER_REFUSED)):
        for key in refused:
            if entry.get(key):
                raise _invalid(
                    path, f"has {key}, which is not taken: connections are always verified and direct"
                )
    server = _text(path, cluster, "server").rstrip("/")
    try:
        parts = urlsplit(server)
    except ValueError:
        raise _invalid(path, "names a server that is no address") from None
    if parts.scheme != "https" or not parts.hostname:
        raise _invalid(path, "names a server without https")
    if parts.username is not None or parts.password is not None:
        raise _invalid(path, "has a name or a password in its server's address, where everybody would see it")
    ca = _data(path, cluster, "certificate-authority")
    token_file = user.get("tokenFile")
    return Kubeconfig(
        server=server,
        ca_pem=ca.decode("ascii", "replace"),
        token=str(user.get("token") or "") if not token_file else "",
        token_file=path.parent / str(token_file) if token_file else None,
        certificate_pem=_data(path, user, "client-certificate"),
        key_pem=_data(path, user, "client-key"),
        exec=_exec(path, user),
    )


def _document(path: Path) -> Mapping[str, object]:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise _invalid(path, "is larger than 1 MiB")
        document = yaml.safe_load(content)
    except OSError as failed:
        raise _invalid(path, f"cannot be read: {failed.strerror}") from None
    except (yaml.YAMLError, RecursionError, ValueError):
        raise _invalid(path, "is no YAML that can be read") from None
    if not isinstance(document, dict):
        raise _invalid(path, "is no kubeconfig")
    return cast("dict[str, object]", document)


def _named(
    path: Path, document: Mapping[str, object], group: str, name: str, key: str
) -> Mapping[str, object]:
    entries = document.get(group)
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and entry.get("name") == name and isinstance(entry.get(key), dict):
            return cast("dict[str, object]", entry[key])
    raise _invalid(path, f"has no entry {name!r} below {group}")


def _text(path: Path, entry: Mapping[str, object], key: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str) or not value:
        raise _invalid(path, f"does not say {key}")
    return value


def _data(path: Path, entry: Mapping[str, object], key: str) -> bytes:
    """The content that ``KEY-data`` holds or ``KEY`` names; empty where neither is there."""
    if inline := entry.get(f"{key}-data"):
        try:
            return base64.b64decode(str(inline), validate=True)
        except binascii.Error:
            raise _invalid(path, f"has a {key}-data that is no base64") from None
    if named := entry.get(key):
        try:
            return (path.parent / str(named)).read_bytes()
        except OSError as failed:
            raise _invalid(path, f"names a {key} that cannot be read: {failed.strerror}") from None
    return b""


def _exec(path: Path, user: Mapping[str, object]) -> Exec | None:
    given = user.get("exec")
    if not isinstance(given, dict):
        return None
    command = _text(path, given, "command")
    version = str(given.get("apiVersion") or "")
    if version not in ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"):
        raise _invalid(path, "has an exec whose apiVersion is not client.authentication.k8s.io/v1 or v1beta1")
    if given.get("interactiveMode") == "Always":
        raise _invalid(path, "has an exec that wants a person to answer (interactiveMode: Always)")
    environment = {
        str(each.get("name")): str(each.get("value") or "")
        for each in given.get("env") or ()
        if isinstance(each, dict)
    }
    return Exec(
        # As in kubectl: a bare name is looked for on PATH, one with a slash is told from the kubeconfig.
        command=str(path.parent / command) if "/" in command else command,
        arguments=tuple(str(each) for each in given.get("args") or ()),
        environment=environment,
        api_version=version,
        directory=path.parent,
    )


def _invalid(path: Path, why: str) -> Permanent:
    return Permanent(
        Refusal.SETTING_INVALID,
        f"The kubeconfig {path} {why}.",
        remedy=Remedy(
            "Correct the kubeconfig, or name another one.",
            "Platform operator",
            "plugins/tenants-kcp#kubeconfig",
        ),
    )
