"""Key stores that are wrong in what they say: of the key, of themselves, and of what nobody may be told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from openkcm.sdk.key_store import Ability, Answered, Context, Described, Finding, Wrapped
from tests.sdk.planted_wrapping import Honest

CHECK_PERMISSION = "test_check_names_a_missing_permission_as_it_is_declared[memory:Unwrap]"


class OwnsAll(Honest):
    """It declares that it proves ownership, and looks at nothing."""

    caught_by = "test_the_owners_word_is_found_and_so_is_its_absence"
    said: ClassVar[Ability] = Ability.OWNERSHIP

    async def check(self) -> Sequence[Finding]:
        found = [each for each in await super().check() if each.code != self.said]
        return [*found, Finding(level="ok", code=self.said, said="It is so.")]


class StaysOutsideByWord(OwnsAll):
    """It declares that it proves where the key is, and looks at nothing."""

    caught_by = "test_a_key_that_may_have_left_its_environment_is_found"
    said = Ability.OUTSIDE


class ChecksNothing(Honest):
    """It says fine where a right is missing."""

    caught_by = CHECK_PERMISSION

    async def check(self) -> Sequence[Finding]:
        return [Finding(level="ok", code="round-trip", said="All is well.")]


class ChecksNoState(ChecksNothing):
    """It says fine where the key is disabled."""

    caught_by = "test_check_tells_of_it_and_never_raises[key-disabled]"


class NamesNoPermission(Honest):
    """It says that something is missing, and not what."""

    caught_by = CHECK_PERMISSION

    async def check(self) -> Sequence[Finding]:
        return [replace(each, permission="") for each in await super().check()]


class TakesAnyRight(Honest):
    """It does not see that it holds more than it needs."""

    caught_by = "test_check_names_a_permission_that_is_not_needed"

    async def check(self) -> Sequence[Finding]:
        return [each for each in await super().check() if each.level != "warn"]


class NamesNoField(Honest):
    """It says that an answer is wrong, and not which."""

    caught_by = "test_check_keys_a_wrong_answer_to_its_field[address]"

    async def check(self) -> Sequence[Finding]:
        return [replace(each, field="") for each in await super().check()]


class FindsOneFieldAtATime(Honest):
    """It stops at the first answer that cannot be."""

    caught_by = "test_every_field_that_cannot_be_is_found_at_once"

    async def check(self) -> Sequence[Finding]:
        found = await super().check()
        return found[:1] if found[0].field else found


class ChecksByRaising(Honest):
    """What it meets while it checks it raises."""

    caught_by = "test_check_tells_of_it_and_never_raises[key-deleted]"

    async def check(self) -> Sequence[Finding]:
        await self.probe()
        return await super().check()


class ChecksForEver(Honest):
    """It leaves something behind at every check."""

    caught_by = "test_check_changes_nothing_and_leaves_nothing_behind"

    async def check(self) -> Sequence[Finding]:
        self._kms.create(f"check-{id(self)}", identity=f"check-{id(self)}", rights=[], names="")
        return await super().check()


class ProbesByRotating(Honest):
    """Its probe changes the key."""

    caught_by = "test_probe_changes_nothing_and_leaves_nothing_behind"

    async def probe(self) -> None:
        await super().probe()
        self._kms.rotate(self._caller.key)


class ProbesNothing(Honest):
    """Its probe says fine whatever happens."""

    caught_by = "test_probe_meets_what_wrapping_and_unwrapping_meet[key-disabled]"

    async def probe(self) -> None:
        await asyncio.sleep(0)


class WrapsOnItsOwn(Honest):
    """It wraps with a public key that it keeps, so that its wraps go on; the probe trusts that."""

    caught_by = "test_probe_meets_what_wrapping_and_unwrapping_meet[not-permitted]"

    async def probe(self) -> None:
        await self.describe()

    async def describe(self) -> Described:
        return Described(reference=self._caller.key, version="1")


class TellsOnce(Honest):
    """Only the first session that meets a refusal tells it."""

    caught_by = "test_a_fresh_session_meets_the_same_answer[key-deleted]"
    told: ClassVar[dict[object, object]] = {}

    async def _answered(self, call: Awaitable[dict[str, object] | None]) -> dict[str, object]:
        try:
            return await super()._answered(call)
        except Answered as refused:
            first = self.told.setdefault(self._kms, self) is self
            raise refused if first else Answered("unreachable") from None


class RaisesAnything(Honest):
    """What its library raises it lets through."""

    caught_by = "test_a_blob_that_was_changed_is_refused_and_proves_nothing"

    async def unwrap(self, wrapped: Wrapped, context: Context) -> bytes:
        try:
            return await super().unwrap(wrapped, context)
        except Answered as refused:
            raise ValueError(refused.code) from None


class CodesOfItsOwn(Honest):
    """It answers with a code that it does not declare."""

    caught_by = "test_a_documented_answer_is_met_under_its_code[key-disabled]"

    async def unwrap(self, wrapped: Wrapped, context: Context) -> bytes:
        try:
            return await super().unwrap(wrapped, context)
        except Answered as refused:
            raise Answered(f"x-{refused.code}") from None


class TakesTheUnknownForProof(Honest):
    """What it does not know it takes for a refusal."""

    caught_by = "test_an_answer_that_nobody_knows_is_doubtful"

    async def unwrap(self, wrapped: Wrapped, context: Context) -> bytes:
        try:
            return await super().unwrap(wrapped, context)
        except Answered as refused:
            raise Answered("not-permitted") if refused.code == "unknown" else refused from None


class TakesGarbageForAKey(Honest):
    """It does not look at what was answered."""

    caught_by = "test_garbage_is_no_key_and_no_proof_of_refusal"

    async def unwrap(self, wrapped: Wrapped, context: Context) -> bytes:
        asking = self._kms.unwrap(self._caller, wrapped.blob, self._bound(context))
        secret = (await self._answered(asking)).get("secret")
        return secret if isinstance(secret, bytes) else b"?" * 32


class AlwaysWarns(Honest):
    """It warns of a connection in which nothing is wrong."""

    caught_by = "test_a_good_connection_is_found_good"

    async def check(self) -> Sequence[Finding]:
        return [*await super().check(), Finding(level="warn", code="careful", said="Be careful.")]


class ChecksOneAtATime(Honest):
    """While it checks, a second check finds that it is busy."""

    caught_by = "test_checks_at_once_find_the_same"

    async def check(self) -> Sequence[Finding]:
        if hasattr(self, "checking"):
            return [Finding(level="warn", code="busy", said="A check is going on.")]
        self.checking = True
        try:
            return await super().check()
        finally:
            del self.checking


class SetsUpUnasked(Honest):
    """It declares that it cannot set up anything, and does it all the same."""

    caught_by = "test_a_store_that_cannot_set_up_says_so_and_does_nothing"
    lacks = frozenset({Ability.TRUST})

    async def trust(self, set_up: Mapping[str, str]) -> Sequence[Finding]:
        self._kms.change_key(self._caller.key, lambda key: key.rights.clear())
        return [Finding(level="warn", code="done", said="It was done.")]


class IsSilentOfSetUp(SetsUpUnasked):
    """It cannot set up anything, and does not say so."""

    async def trust(self, set_up: Mapping[str, str]) -> Sequence[Finding]:
        return []


class AsksForAYear(Honest):
    """It wants to be asked again when nobody is left who would."""

    caught_by = "test_a_documented_answer_is_met_under_its_code[throttled]"

    async def unwrap(self, wrapped: Wrapped, context: Context) -> bytes:
        try:
            return await super().unwrap(wrapped, context)
        except Answered as refused:
            raise Answered(refused.code, retry_after_s=365 * 24 * 3600.0) from None
