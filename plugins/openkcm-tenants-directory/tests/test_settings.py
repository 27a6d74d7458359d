from __future__ import annotations

import pytest

from openkcm.sdk.refusals import Permanent, Refusal
from openkcm_tenants_directory.plugin import openkcm_tenant_source
from openkcm_tenants_directory.settings import directory_settings


def test_without_a_path_there_is_no_source() -> None:
    assert openkcm_tenant_source({}) is None


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"path": "relative/folder"}, "path"),
        ({"issuer": "kc.example"}, "issuer"),
        ({"poll_s": "0"}, "poll_s"),
        ({"confirm_s": "0.5"}, "confirm_s"),
        ({"max_bytes": "nan"}, "max_bytes"),
        ({"pathh": "/x"}, "pathh"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_by_its_name(wrong: dict[str, str], named: str) -> None:
    with pytest.raises(Permanent, match=f"The setting {named} ") as refused:
        directory_settings({"path": "/x"} | wrong)
    assert refused.value.refusal is Refusal.SETTING_INVALID
