"""The kit for tenant sources: what the core relies on, shown on the plugin's own place."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar

import pytest

from openkcm.sdk.conformance.contract import Contract
from openkcm.sdk.conformance.listening import Core, Listener
from openkcm.sdk.conformance.place import LEDGERS, PAYMENTS, Place, Placed
from openkcm.sdk.refusals import Refusal, Temporary
from openkcm.sdk.tenant_id import is_tenant_id
from openkcm.sdk.tenant_source import Presence, TenantStatus

_DELETED_AT = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
_REPORTED_AT = datetime(2026, 2, 1, 9, 30, tzinfo=UTC)
_HOSTILE = "<script>alert(1)</script>\u202e & Söhne"


class TenantSourceContract(Contract):
    """Inherit it, and provide a fixture ``place`` that yields a fresh ``Place``; nothing more is needed."""

    abilities: ClassVar[frozenset[str]] = frozenset(
        {"problems", "outage", "status", "display-names", "creators"}
    )

    @pytest.mark.asyncio
    async def test_a_tenant_is_observed_with_its_identity(self, place: Place) -> None:
        place.put(PAYMENTS)
        core, source = Core(), place.open()
        async with Listener(source, core) as heard:
            await heard.until(lambda: core.last("payments"), says="the tenant is observed")
        seen = core.last("payments")
        assert seen is not None
        assert seen.tenant_id == PAYMENTS.tenant_id
        assert is_tenant_id(seen.tenant_id)
        assert seen.presence is Presence.PRESENT
        assert seen.kind
        assert seen.origin
        assert seen.reference
        assert seen.display_name
        await source.aclose()

    @pytest.mark.asyncio
    async def test_two_tenants_of_one_parent_stay_two(self, place: Place) -> None:
        place.put(PAYMENTS)
        place.put(LEDGERS)
        core, source = Core(), place.open()
        async with Listener(source, core) as heard:
            await heard.until(
                lambda: core.last("payments") and core.last("ledgers"), says="both are observed"
            )
        assert {each.tenant_id for each in core.observations} == {PAYMENTS.tenant_id, LEDGERS.tenant_id}
        await source.aclose()

    @pytest.mark.asyncio
    async def test_a_tenant_that_comes_while_somebody_watches_is_observed(self, place: Place) -> None:
        core, source = Core(), place.open()
        async with Listener(source, core) as heard:
            place.put(PAYMENTS)
            await heard.until(lambda: core.last("payments"), says="the new tenant is observed")
        await source.aclose()

    @pytest.mark.asyncio
    async def test_list_shows_what_watch_tells(self, place: Place) -> None:
        place.put(PAYMENTS)
        place.put(LEDGERS)
        core, source = Core(), place.open()
        async with Listener(source, core) as heard:
            await heard.until(
                lambda: core.last("payments") and core.last("ledgers"), says="both are observed"
            )
        listed = {each.tenant_id: each for each in await source.list()}
        assert listed == {each.tenant_id: each for each in core.observations}
        await source.aclose()

    @pytest.mark.asyncio
    async def test_a_batch_that_was_not_stored_comes_again(self, place: Place) -> None:
        place.put(PAYMENTS)
        source, lost = place.open(), None
        async for batch in source.watch(None, ()):
            if batch.observations:
                lost = batch
                break
        assert lost is not None
        await source.aclose()
        core, source = Core(), place.open()
        async with Listener(source, core) as heard:
            await heard.until(lambda: core.last("payments"), says="the lost tenant is observed again")
        await source.aclose()

    @pytest.mark.asyncio
    async def test_what_comes_while_nobody_looks_is_observed_from_the_cursor(self, place: Place) -> None:
        core = await self._after_seeing(place, PAYMENTS)
        place.put(LEDGERS)
        source = place.open()
        async with Listener(source, core) as heard:
            await heard.until(lambda: core.last("ledgers"), says="the new tenant is observed")
        assert core.presence("payments") is Presence.PRESENT
        await source.aclose()

    @pytest.mark.asyncio
    async def test_a_removal_while_nobody_looks_is_an_uninstall(self, place: Place) -> None:
        core = await self._after_seeing(place, PAYMENTS, LEDGERS)
        place.remove(PAYMENTS)
        source = place.open()
        async with Listener(source, core) as heard:
            gone = Presence.UNINSTALLED
            await heard.until(lambda: core.presence("payments") is gone, says="the uninstall is observed")
        assert core.presence("ledgers") is Presence.PRESENT
        seen = core.last("payments")
        assert seen is not None
        assert seen.tenant_id == PAYMENTS.tenant_id
        await source.aclose()

    @pytest.mark.asyncio
    async def test_a_removal_is_an_uninstall_and_coming_back_is_the_same_tenant(self, place: Place) -> None:
        place.put(PAYMENTS)
        place.put(LEDGERS)
        core, source = Core(), place.open()
        async with Listener(source, core) as heard:
            await heard.until(
                lambda: core.last("payments") and core.last("ledgers"), says="both are observed"
            )
            place.remove(PAYMENTS)
            gone, there = Presence.UNINSTALLED, Presence.PRESENT
            await heard.until(lambda: core.presence("payments") is gone, says="the uninstall is observed")
            place.put(PAYMENTS)
            await heard.until(lambda: core.presence("payments") is there, says="the return is observed")
        assert core.presences("ledgers") == [there]
        assert {each.tenant_id for each in core.observations if each.name == "payments"} == {
            PAYMENTS.tenant_id
        }
        await source.aclose()

    @pytest.mark.asyncio
    async def test_a_deletion_is_what_the_place_says(self, place: Place) -> None:
        place.put(PAYMENTS)
        core, source = Core(), place.open()
        async with Listener(source, core) as heard:
            await heard.until(lambda: core.last("payments"), says="the tenant is observed")
            place.delete(PAYMENTS, at=_DELETED_AT)
            going = Presence.DELETING
            await heard.until(lambda: core.presence("payments") is going, says="the deletion is observed")
        seen = core.last("payments")
        assert seen is not None
        assert seen.deleted_at == _DELETED_AT
        assert Presence.UNINSTALLED not in core.presences("payments")
        await source.aclose()

    @pytest.mark.asyncio
    async def test_batches_stay_small(self, place: Place) -> None:
        for number in range(230):
            place.put(Placed(name=f"account-{number}", tenant_id=f"acc{number:013}"))
        core, source = Core(), place.open()
        async with Listener(source, core) as heard:
            await heard.until(lambda: len(core.known()) >= 230, says="all 230 are observed")
        assert core.largest_batch <= 100
        await source.aclose()

    @pytest.mark.asyncio
    async def test_names_with_markup_stay_text_in_one_line(self, place: Place) -> None:
        self.needs("display-names")
        place.put(Placed(name="payments", tenant_id=PAYMENTS.tenant_id, display_name=_HOSTILE))
        core, source = Core(), place.open()
        async with Listener(source, core) as heard:
            await heard.until(lambda: core.last("payments"), says="the tenant is observed")
        seen = core.last("payments")
        assert seen is not None
        assert seen.display_name == "<script>alert(1)</script> & Söhne"
        await source.aclose()

    @pytest.mark.asyncio
    async def test_the_creator_is_named_or_nobody_is(self, place: Place) -> None:
        self.needs("creators")
        place.put(PAYMENTS)
        place.put(Placed(name="ledgers", tenant_id=LEDGERS.tenant_id, creator=""))
        core, source = Core(), place.open()
        async with Listener(source, core) as heard:
            await heard.until(
                lambda: core.last("payments") and core.last("ledgers"), says="both are observed"
            )
        named, unnamed = core.last("payments"), core.last("ledgers")
        assert named is not None
        assert named.creator is not None
        assert named.creator.username == PAYMENTS.creator
        assert unnamed is not None
        assert unnamed.creator is None
        await source.aclose()

    @pytest.mark.asyncio
    async def test_what_is_unusable_is_named_and_stops_nobody(self, place: Place) -> None:
        self.needs("problems")
        word = place.spoil()
        place.put(PAYMENTS)
        core, source = Core(), place.open()
        async with Listener(source, core) as heard:
            await heard.until(lambda: core.last("payments"), says="the good tenant is observed")
            await heard.until(lambda: core.problems, says="the problem is reported")
            assert any(word in each.origin for each in core.problems)
            assert all(each.message for each in core.problems)
            place.mend()
            await heard.until(lambda: not core.problems, says="the mended problem is gone from the list")
        await source.aclose()

    @pytest.mark.asyncio
    async def test_a_place_that_is_away_uninstalls_nobody(self, place: Place) -> None:
        self.needs("outage")
        core = await self._after_seeing(place, PAYMENTS)
        place.go_away()
        source = place.open()
        async with Listener(source, core) as heard:
            await heard.until(lambda: heard.refused, says="the watch says that the place is away")
        assert isinstance(heard.refused, Temporary)
        assert heard.refused.refusal is Refusal.SOURCE_UNAVAILABLE
        with pytest.raises(Temporary) as refused:
            await source.list()
        assert refused.value.refusal is Refusal.SOURCE_UNAVAILABLE
        place.come_back()
        place.put(LEDGERS)
        async with Listener(source, core) as heard:
            await heard.until(lambda: core.last("ledgers"), says="the watch goes on")
        assert Presence.UNINSTALLED not in core.presences("payments")
        await source.aclose()

    @pytest.mark.asyncio
    async def test_a_status_stands_in_the_place_and_is_no_tenant(self, place: Place) -> None:
        self.needs("status")
        place.put(PAYMENTS)
        core, source = Core(), place.open()
        async with Listener(source, core) as heard:
            await heard.until(lambda: core.last("payments"), says="the tenant is observed")
            seen = core.last("payments")
            assert seen is not None
            for state in ("provisioning", "ready"):
                await source.report([_status(seen.reference, state)])
                assert state in place.status_of(PAYMENTS)
            place.put(LEDGERS)
            await heard.until(lambda: core.last("ledgers"), says="the next tenant is observed")
        assert len(core.known()) == 2
        assert not core.problems
        await source.aclose()

    @pytest.mark.asyncio
    async def test_closing_twice_is_no_mistake(self, place: Place) -> None:
        source = place.open()
        assert source.name
        await source.aclose()
        await source.aclose()

    async def _after_seeing(self, place: Place, *tenants: Placed) -> Core:
        for tenant in tenants:
            place.put(tenant)
        core, source = Core(), place.open()
        async with Listener(source, core) as heard:
            await heard.until(
                lambda: all(core.last(each.name) for each in tenants), says="the tenants are observed"
            )
        await source.aclose()
        return core


def _status(reference: str, state: str) -> TenantStatus:
    return TenantStatus(
        reference=reference,
        tenant_id=PAYMENTS.tenant_id,
        state=state,
        message="Encryption is active.",
        url=f"https://kcm.example/t/{PAYMENTS.tenant_id}",
        reported_at=_REPORTED_AT,
    )
