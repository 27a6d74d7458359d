"""What ``openkcm doctor`` is told of the folder."""

from __future__ import annotations

from openkcm.sdk.checks import Checkable
from openkcm.sdk.conformance.place import PAYMENTS, Place


async def test_a_folder_that_can_be_read_is_well_and_one_that_is_away_is_named(place: Place) -> None:
    place.put(PAYMENTS)
    source = place.open()
    assert isinstance(source, Checkable)
    (found,) = await source.check()
    assert (found.level, "1 manifest" in found.said) == ("ok", True)
    place.go_away()
    (found,) = await source.check()
    assert (found.level, "tenants" in found.said) == ("bad", True)
    place.come_back()
    (found,) = await source.check()
    assert found.level == "ok"
    await source.aclose()
