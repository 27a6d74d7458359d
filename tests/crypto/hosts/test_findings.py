"""A finding that keeps a connection from being used says what mends it."""

from __future__ import annotations

import pytest

from openkcm.crypto.hosts.answers import findings
from openkcm.crypto.hosts.wire import SaidFinding


@pytest.mark.parametrize(
    ("code", "action"), [("ownership", "Name this account's subject"), ("outside", "Use a key that")]
)
def test_what_an_ability_lacks_is_mended_by_the_keys_owner(code: str, action: str) -> None:
    bad, good = findings(
        [SaidFinding(level=level, code=code, said="So it is.") for level in ("bad", "ok")], {}, secrets=()
    )
    assert bad.remedy is not None
    assert bad.remedy.action.startswith(action)
    assert bad.remedy.who == "the key's owner"
    assert good.remedy is None
