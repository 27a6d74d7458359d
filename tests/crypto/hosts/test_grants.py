"""What an operator may grant, and what every host may read anyway."""

from __future__ import annotations

from pathlib import Path

import pytest

from openkcm.crypto.hosts.confine import account_for, readable, uids
from openkcm.crypto.hosts.grants import read_grants
from openkcm.sdk.refusals import Permanent, Refusal


def test_grants_are_taken_out_of_what_the_plugin_is_given() -> None:
    grants = read_grants(
        "hsm", {"host_reads": "/a:/b", "host_writes": "/c", "host_ports": "443, 53", "module": "/a/m.so"}
    )
    assert (grants.reads, grants.writes, grants.ports) == (("/a", "/b"), ("/c",), (443, 53))
    assert grants.settings == {"module": "/a/m.so"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"host_reads": "a:/b"},
        {"host_writes": "./here"},
        {"host_ports": "https"},
        {"host_ports": "0"},
        {"host_ports": "65536"},
        {"host_read": "/a"},
    ],
)
def test_a_grant_that_cannot_be_meant_is_refused_and_names_its_setting(wrong: dict[str, str]) -> None:
    with pytest.raises(Permanent) as refused:
        read_grants("hsm", wrong)
    assert refused.value.refusal is Refusal.SETTING_INVALID
    assert f"plugins.hsm.{next(iter(wrong))}" in refused.value.message
    assert read_grants("hsm", {}).reads == ()


@pytest.mark.parametrize(
    "private",
    [
        "/etc/ssl/private/key.pem",
        "/etc/pki/tls/private/key.pem",
        "/etc/shadow",
        "/root/.ssh/id",
        "/proc/1/environ",
    ],
)
def test_what_every_host_may_read_holds_no_private_place(private: str) -> None:
    assert [each for each in readable() if Path(private).is_relative_to(each)] == []


def test_two_crypto_processes_never_share_a_uid_for_their_hosts() -> None:
    assert set(uids(100)).isdisjoint(uids(101))
    assert max(uids(2**22 - 1)) < 2**31
    assert min(uids(2**22)) > 2**30


def test_a_second_host_has_another_uid_than_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    first = account_for(100, landlock=False)
    assert first
    assert account_for(100, [first], landlock=False) == first + 1
    assert account_for(100, uids(100), landlock=False) == 0, "none is shared"
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert account_for(100, landlock=False) == 0
