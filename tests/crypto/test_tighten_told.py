"""Which documents lift a word that came before them, and how control hears of one that stands beside a document."""

from __future__ import annotations

import pytest

from openkcm.crypto.agree import held
from openkcm.crypto.apply import apply
from openkcm.crypto.contract import HeldItem, HeldList, document_digest
from tests.crypto.plane import Plane
from tests.crypto.test_tighten import knowing, word

pytestmark = pytest.mark.integration


async def test_of_two_documents_in_one_call_what_the_first_knows_counts_too(plane: Plane) -> None:
    await plane.protect("acme")
    keys = plane.world.last_keys("acme")
    await plane.local.tighten(await word(plane, plane.local))
    first = plane.world.decide("acme", keys=keys, replaces=knowing(plane))
    await plane.local.run(apply, first, plane.world.decide("acme", keys=keys))
    assert plane.local.here.state.view("acme").access == "active"
    await plane.local.open()
    assert plane.local.here.state.view("acme").access == "active"


async def test_a_region_says_that_it_keeps_to_a_word_beside_its_document(plane: Plane) -> None:
    await plane.protect("acme")
    keys, state = plane.world.last_keys("acme"), plane.local.here.state
    without = state.digest
    await plane.local.tighten(await word(plane, plane.local))
    said = state.digest
    assert said != without
    [page] = await plane.local.run(held, HeldItem())
    assert isinstance(page, HeldList)
    assert [one.words for one in page.documents] == [1]
    await plane.local.open()
    assert plane.local.here.state.digest == said
    document = plane.world.decide("acme", keys=keys, replaces=knowing(plane))
    await plane.local.apply(document)
    mark = plane.local.here.state.view("acme").mark
    assert plane.local.here.state.digest == document_digest("acme", mark.generation, mark.hash)
