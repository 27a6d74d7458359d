"""Settings come from three places, say which, and refuse what nobody knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from openkcm.sdk.refusals import Permanent, Refusal
from openkcm.settings import Settings, load_settings, needed


def written(path: Path, text: str) -> Path:
    file = path / "openkcm.toml"
    file.write_text(text)
    return file


def source(settings: Settings, name: str) -> tuple[str, str]:
    return next((line.value, line.source) for line in settings.shown if line.name == name)


def refused(**given: object) -> Permanent:
    with pytest.raises(Permanent) as caught:
        load_settings(**given)  # type: ignore[arg-type]  # what each test gives is what it is about
    return caught.value


def test_without_anything_set_the_defaults_hold_and_say_so() -> None:
    settings = load_settings(environ={})
    assert settings.web.bind == "127.0.0.1:8080"
    assert settings.public_url == "http://127.0.0.1:8080"
    assert settings.crypto is None
    assert source(settings, "web.bind") == ("127.0.0.1:8080", "default")


def test_the_file_goes_before_the_default_and_the_environment_before_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, '[web]\nbind = "127.0.0.1:1"\n[worker]\njobs = 3\n')
    settings = load_settings(environ={"OPENKCM_CONFIG": str(file), "OPENKCM_WEB__BIND": "127.0.0.1:2"})
    assert (settings.web.bind, settings.worker.jobs) == ("127.0.0.1:2", 3)
    assert source(settings, "web.bind") == ("127.0.0.1:2", "OPENKCM_WEB__BIND")
    assert source(settings, "worker.jobs") == ("3", str(file))


def test_the_environment_gives_numbers_truths_and_lists_as_text() -> None:
    settings = load_settings(
        environ={
            "OPENKCM_WORKER__LEASE_S": "1.5",
            "OPENKCM_TENANTS__SHORT_GRACE": "true",
            "OPENKCM_TENANTS__GRACE_S": "60",
            "OPENKCM_TENANTS__REGIONS": "north, south",
            "OPENKCM_CONTROL__REGIONS": '[{"name": "north", "address": "127.0.0.1:9"}]',
        }
    )
    assert settings.worker.lease_s == 1.5
    assert settings.tenants.grace_s == 60
    assert settings.tenants.regions == ("north", "south")
    assert settings.control.regions[0].address == "127.0.0.1:9"


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("OPENKCM_WEB__BNID", "OPENKCM_WEB__BIND"),
        ("OPENKCM_WEBB__BIND", "OPENKCM_WEB__BIND"),
        ("OPENKCM_WEB_BIND", "OPENKCM_WEB__BIND"),
        ("OPENKCM_TENANTS__GRACE", "OPENKCM_TENANTS__GRACE_S"),
    ],
)
def test_a_name_that_nobody_knows_is_refused_with_the_nearest_one(variable: str, nearest: str) -> None:
    found = refused(environ={variable: "127.0.0.1:1"})
    assert found.refusal is Refusal.SETTING_INVALID
    assert variable in found.message
    assert nearest in found.message


def test_what_kubernetes_sets_for_a_service_of_our_name_is_no_setting() -> None:
    load_settings(environ={"OPENKCM_PORT": "tcp://10.0.0.1:80", "OPENKCM_SERVICE_HOST": "10.0.0.1"})


def test_an_unknown_key_of_the_file_is_refused_with_file_and_nearest_name(tmp_path: Path) -> None:
    file = written(tmp_path, '[notices]\noperater = "o@example.org"\n')
    found = refused(environ={}, file=file)
    assert str(file) in found.message
    assert "notices.operator" in found.message


@pytest.mark.parametrize("text", ["[web", "bind = 1\n", '[plugins]\nsmtp = "x"\n'])
def test_a_file_of_another_form_is_refused_by_its_name(tmp_path: Path, text: str) -> None:
    file = written(tmp_path, text)
    found = refused(environ={}, file=file)
    assert found.refusal is Refusal.SETTING_INVALID
    assert str(file) in found.message


def test_a_settings_file_that_is_not_there_is_refused() -> None:
    assert refused(environ={"OPENKCM_CONFIG": "/nowhere/at/all.toml"}).refusal is Refusal.SETTING_INVALID


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("worker.jobs", "many", "a whole number"),
        ("worker.lease_s", "30s", "a number"),
        ("tenants.short_grace", "perhaps", "true or false"),
        ("control.regions", "north", "a list of tables with name, address"),
        ("control.regions", "[{", "a list of tables with name, address"),
    ],
)
def test_a_value_of_another_type_is_refused_with_name_source_and_what_it_should_be(
    name: str, value: str, words: str
) -> None:
    variable = f"OPENKCM_{name.replace('.', '__').upper()}"
    found = refused(environ={variable: value})
    assert found.message == f"The setting {name} (from {variable}) is not {words}."


def test_a_number_for_text_in_the_file_is_refused_in_the_same_words(tmp_path: Path) -> None:
    file = written(tmp_path, "[web]\nbind = 8080\n")
    assert refused(environ={}, file=file).message == f"The setting web.bind (from {file}) is not text."


def test_a_short_grace_wants_the_development_flag() -> None:
    found = refused(environ={"OPENKCM_TENANTS__GRACE_S": "60"})
    assert "grace_s" in found.message
    assert "OPENKCM_TENANTS__GRACE_S" in found.message
    found = refused(environ={"OPENKCM_TENANTS__KEY_WAIT_S": "60"})
    assert "key_wait_s" in found.message
    assert (
        load_settings(
            environ={"OPENKCM_TENANTS__KEY_WAIT_S": "60", "OPENKCM_TENANTS__SHORT_GRACE": "true"}
        ).tenants.key_wait_s
        == 60
    )


def test_half_of_a_crypto_processs_settings_are_refused_by_what_is_missing() -> None:
    found = refused(environ={"OPENKCM_CRYPTO__REGION": "north"})
    assert found.refusal is Refusal.SETTING_MISSING
    assert "crypto.database" in found.message
    assert found.remedy is not None
    assert "OPENKCM_CRYPTO__DATABASE" in found.remedy.action


def test_passwords_are_never_shown(tmp_path: Path) -> None:
    settings = load_settings(
        environ={
            "OPENKCM_CONTROL__WEB_DATABASE": "postgresql://openkcm_web:canary-1@db/cmk",
            "OPENKCM_PLUGINS__SMTP__PASSWORD": "canary-2",
            "OPENKCM_PLUGINS__SMTP__HOST": "mail.example.org",
        }
    )
    printed = repr([(line.name, line.value) for line in settings.shown])
    assert "canary" not in printed
    assert "mail.example.org" in printed
    assert settings.plugins["smtp"]["password"] == "canary-2"
    assert "canary" not in repr(settings.shown)


def test_a_setting_that_a_command_needs_is_asked_for_by_name() -> None:
    with pytest.raises(Permanent) as caught:
        needed(load_settings(environ={}).control.owner_database, "control.owner_database")
    assert caught.value.refusal is Refusal.SETTING_MISSING
    assert needed("there", "control.owner_database") == "there"
