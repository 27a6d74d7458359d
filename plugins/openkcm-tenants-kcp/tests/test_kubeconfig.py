"""A kubeconfig is read as kubectl reads it, and what would weaken the connection is refused."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from openkcm.sdk.refusals import Permanent, Refusal
from openkcm_tenants_kcp.kubeconfig import Exec, read_kubeconfig

SERVER = "https://kcp.example:6443/clusters/root:providers:openkcm"


def write(folder: Path, *, user: dict[str, Any], cluster: dict[str, Any] | None = None) -> Path:
    file = folder / "kubeconfig"
    content = {
        "current-context": "here",
        "contexts": [
            {"name": "here", "context": {"cluster": "kcp", "user": "we"}},
            {"name": "other", "context": {"cluster": "kcp", "user": "nobody"}},
        ],
        "clusters": [{"name": "kcp", "cluster": {"server": f"{SERVER}/", **(cluster or {})}}],
        "users": [{"name": "we", "user": user}],
    }
    file.write_text(yaml.safe_dump(content))
    return file


def test_a_token_and_the_ca_are_read(tmp_path: Path) -> None:
    ca = base64.b64encode(b"-----BEGIN CERTIFICATE-----").decode()
    found = read_kubeconfig(
        write(tmp_path, user={"token": "t0p"}, cluster={"certificate-authority-data": ca})
    )
    assert (found.server, found.token, found.ca_pem) == (SERVER, "t0p", "-----BEGIN CERTIFICATE-----")
    assert "t0p" not in repr(found)


def test_files_are_told_from_where_the_kubeconfig_is(tmp_path: Path) -> None:
    (tmp_path / "pki").mkdir()
    (tmp_path / "pki" / "client.crt").write_bytes(b"certificate")
    (tmp_path / "pki" / "client.key").write_bytes(b"key")
    user = {"client-certificate": "pki/client.crt", "client-key": "pki/client.key"}
    found = read_kubeconfig(write(tmp_path, user=user))
    assert (found.certificate_pem, found.key_pem) == (b"certificate", b"key")
    found = read_kubeconfig(write(tmp_path, user={"tokenFile": "pki/token", "token": "older"}))
    assert (found.token_file, found.token) == (tmp_path / "pki" / "token", "")


def test_an_exec_is_read_with_arguments_and_environment(tmp_path: Path) -> None:
    given = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "bin/login",
        "args": ["--realm", "acme"],
        "env": [{"name": "HOME", "value": "/nowhere"}],
        "interactiveMode": "Never",
    }
    assert read_kubeconfig(write(tmp_path, user={"exec": given})).exec == Exec(
        command=str(tmp_path / "bin/login"),
        arguments=("--realm", "acme"),
        environment={"HOME": "/nowhere"},
        directory=tmp_path,
    )


@pytest.mark.parametrize(
    ("user", "cluster", "said"),
    [
        ({}, {"insecure-skip-tls-verify": True}, "insecure-skip-tls-verify"),
        ({}, {"proxy-url": "http://proxy"}, "proxy-url"),
        ({"username": "a", "password": "b"}, {}, "username"),
        ({"as": "root"}, {}, "has as"),
        ({}, {"server": "http://kcp.example"}, "without https"),
        ({"exec": {"command": "x", "apiVersion": "v0"}}, {}, "apiVersion"),
        (
            {
                "exec": {
                    "command": "x",
                    "apiVersion": "client.authentication.k8s.io/v1",
                    "interactiveMode": "Always",
                }
            },
            {},
            "a person",
        ),
        ({"client-certificate": "gone.crt"}, {}, "client-certificate that cannot be read"),
        ({"client-key-data": "%%"}, {}, "no base64"),
    ],
)
def test_what_is_not_taken_is_named(
    tmp_path: Path, user: dict[str, Any], cluster: dict[str, Any], said: str
) -> None:
    with pytest.raises(Permanent) as refused:
        read_kubeconfig(write(tmp_path, user=user, cluster=cluster))
    assert refused.value.refusal is Refusal.SETTING_INVALID
    assert said in refused.value.message
    assert str(tmp_path / "kubeconfig") in refused.value.message
    assert read_kubeconfig(write(tmp_path, user={"token": "t"})).token == "t"


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"{", "no YAML"), (b"[]", "no kubeconfig"), (b"a: b", "current-context"), (b"#" * 1_048_577, "larger")],
)
def test_a_file_that_is_no_kubeconfig_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "kubeconfig"
    with pytest.raises(Permanent, match="cannot be read"):
        read_kubeconfig(file)
    file.write_bytes(content)
    with pytest.raises(Permanent, match=said):
        read_kubeconfig(file)


def test_a_context_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="'nobody' below users"):
        read_kubeconfig(write(tmp_path, user={}), context="other")
    with pytest.raises(Permanent, match="'else' below contexts"):
        read_kubeconfig(write(tmp_path, user={}), context="else")


@pytest.mark.parametrize(
    ("server", "why"),
    [("https://we:s3cret@kcp.example", "a name or a password"), ("https://[kcp", "no address")],
)
def test_a_server_that_would_show_a_password_or_is_none_is_refused(
    tmp_path: Path, server: str, why: str
) -> None:
    with pytest.raises(Permanent, match=why) as refused:
        read_kubeconfig(write(tmp_path, user={"token": "t"}, cluster={"server": server}))
    assert "s3cret" not in refused.value.message
