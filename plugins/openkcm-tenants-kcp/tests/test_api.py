"""What is never sent, and how it fails: as an answer that did not come, without a word of the token."""

from __future__ import annotations

import pytest

from openkcm_tenants_kcp.api import Api, NoAnswer
from openkcm_tenants_kcp.kubeconfig import Kubeconfig


@pytest.mark.parametrize(
    ("url", "token", "why"),
    [
        ("http://127.0.0.1:9/x", "s3cret", "not https"),
        ("https://ho\x01st/x", "s3cret", "none that can be sent"),
        ("https://127.0.0.1:9/x", "s3cret\N{LATIN SMALL LETTER E WITH ACUTE}", "none that can be sent"),
    ],
)
async def test_a_token_goes_nowhere_without_tls_and_not_in_any_form(url: str, token: str, why: str) -> None:
    api = Api(Kubeconfig(server="https://kcp", token=token), answer_s=1.0)
    with pytest.raises(NoAnswer, match=why) as failed:
        await api.get(url)
    assert "s3cret" not in str(failed.value)
    assert failed.value.__cause__ is None
    assert api.requests == 0
    await api.aclose()
