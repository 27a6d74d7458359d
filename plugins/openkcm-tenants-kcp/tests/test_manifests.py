"""What operators apply is what the command prints, and asks for no more than is used."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from openkcm.__main__ import run
from openkcm_tenants_kcp.manifests import Part, Place, claims, documents

PLACE = Place(
    export="operations.openkcm.io", path="root:p", url="https://kcm.example", mesh_hash="m", tenancy_hash="t"
)
FILES = Path(__file__).resolve().parents[3] / "deploy" / "kcp"
ARGUMENTS = [
    "--path=root:providers:openkcm",
    "--url=https://kcm.example",
    "--mesh-hash=IDENTITY-HASH-OF-CORE-PLATFORM-MESH-IO",
    "--tenancy-hash=IDENTITY-HASH-OF-TENANCY-KCP-IO",
]


@pytest.mark.parametrize("part", Part)
def test_the_files_are_what_the_command_prints(part: Part, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["kcp", "manifests", *ARGUMENTS, "--part", part.value]) == 0
    assert capsys.readouterr().out == (FILES / f"{part.value}.yaml").read_text()


def test_without_a_part_named_all_documents_are_printed_and_the_patch_is_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["kcp", "manifests", *ARGUMENTS]) == 0
    kinds = [document["kind"] for document in yaml.safe_load_all(capsys.readouterr().out)]
    assert kinds[:2] == ["APIResourceSchema", "APIExport"]
    assert kinds[-2:] == ["ProviderMetadata", "ContentConfiguration"]
    assert kinds.count("ClusterRole") == kinds.count("ClusterRoleBinding") == 3


def test_claims_are_read_only_and_without_hashes_there_are_none_on_others_resources() -> None:
    assert {claim["resource"] for claim in claims(PLACE)} == {
        "logicalclusters",
        "accounts",
        "accountinfos",
        "workspaces",
    }
    assert all(set(claim["verbs"]) == {"get", "list", "watch"} for claim in claims(PLACE))
    bare = Place(export="e", path="p", url="u")
    assert [claim["resource"] for claim in claims(bare)] == ["logicalclusters"]


def test_one_hash_alone_proves_no_owner_and_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["kcp", "manifests", "--path", "p", "--url", "u", "--mesh-hash", "m"]) == 2
    assert "--tenancy-hash" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("not a path: x", "https://kcm.example"),
        ("root:", "https://kcm.example"),
        ("root:openkcm", "javascript:alert(1)"),
        ("root:openkcm", "https://"),
        ("root:openkcm", "https://kcm.example/ x"),
    ],
)
def test_what_is_no_path_or_no_address_of_a_page_is_wrong_usage(
    path: str, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["kcp", "manifests", "--path", path, "--url", url]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "such as" in printed.err


def test_the_watcher_may_write_nothing_and_the_writer_only_what_it_does() -> None:
    roles = {
        each["metadata"]["name"]: each["rules"]
        for each in documents(PLACE, Part.RBAC)
        if each["kind"] == "ClusterRole"
    }
    assert {verb for rule in roles["openkcm-watcher"] for verb in rule["verbs"]} == {"get", "list", "watch"}
    assert {verb for rule in roles["openkcm-writer"] for verb in rule["verbs"]} == {"get", "create", "patch"}
    assert [(rule["verbs"], rule["resourceNames"]) for rule in roles["openkcm-bind"]] == [
        (["bind"], ["operations.openkcm.io"])
    ]
    assert all(
        "*" not in rule[key]
        for rules in roles.values()
        for rule in rules
        for key in ("verbs", "resources", "apiGroups")
    )


def test_the_mesh_shows_the_pages_in_a_new_tab() -> None:
    _, content = documents(PLACE, Part.MESH)
    fragment = yaml.safe_load(content["spec"]["inlineConfiguration"]["content"])
    (node,) = fragment["luigiConfigFragment"]["data"]["nodes"]
    assert node["externalLink"] == {"url": "https://kcm.example", "sameWindow": False}
