"""Two regions as processes, control as its client: minted here, handed over, proven there."""

from __future__ import annotations

import base64
from pathlib import Path

import httpx2
import pytest

from openkcm.crypto.client import PinnedRegions
from openkcm.crypto.contract import AcceptItem, HandOverItem, MintItem, OfferItem, ProveItem, TokenItem
from tests.crypto.processes import region_settings, running
from tests.crypto.world import World, keys_of
from tests.databases import ModuleDatabases

pytestmark = pytest.mark.integration


async def test_a_key_minted_in_one_region_opens_its_data_in_the_other(
    databases: ModuleDatabases, world: World, tmp_path: Path
) -> None:
    local = region_settings(tmp_path, "local", databases.crypto("local"))
    eu = region_settings(tmp_path, "eu-1", databases.crypto("eu-1"))
    with running(local, world.parties("local")) as here, running(eu, world.parties("eu-1")) as there:
        regions = PinnedRegions(world.control, world.pins, [here.region, there.region])
        first, second = regions.get("local"), regions.get("eu-1")
        try:
            begun = world.decide("acme")
            applied = [await region.apply(begun) for region in (first, second)]
            assert {one.generation for one in applied} == {1}

            minted = await first.mint(
                MintItem(tenant="acme", generation=1, services=("default",), token="t1")
            )
            l2, l3 = minted.records
            offer = await second.offer(
                OfferItem(tenant="acme", key_id=l2.statement.key_id, generation=1, sender="local")
            )
            given = await first.hand_over(HandOverItem(offer=offer))
            accepted = await second.accept(
                AcceptItem(hand_over=given, statement=l2.statement, services=(l3,))
            )
            assert accepted.wrap.holder == "eu-1"
            assert accepted.wrap.blob != l2.wrap.blob

            active = world.decide("acme", keys=keys_of(minted))
            for region in (first, second):
                await region.apply(active)
            proof = await first.prove(ProveItem(tenant="acme", service="default"))
            again = await second.prove(ProveItem(tenant="acme", service="default", message=proof.message))
            assert again.digest == proof.digest

            token = await first.token(
                TokenItem(tenant="acme", caller="shop", service="default", verbs=("encrypt", "decrypt"))
            )
            other = await second.token(
                TokenItem(tenant="acme", caller="shop", service="default", verbs=("decrypt",))
            )
            message = await call(
                token.address, "encrypt", token.token, plaintext=b64(b"card 4111"), aad=b64(b"row 7")
            )
            opened = await call(
                other.address, "decrypt", other.token, message=message["message"], aad=b64(b"row 7")
            )
            assert base64.b64decode(opened["plaintext"]) == b"card 4111"
        finally:
            await regions.aclose()
        assert here.stop() == 0
        assert there.stop() == 0


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


async def call(address: str, verb: str, token: str, **fields: str) -> dict[str, str]:
    async with httpx2.AsyncClient(base_url=address) as client:
        answer = await client.post(
            f"/v1/{verb}",
            json={"tenant": "acme", "service": "default", **fields},
            headers={"Authorization": f"Bearer {token}"},
        )
    assert answer.status_code == 200, answer.text
    body: dict[str, str] = answer.json()
    return body
