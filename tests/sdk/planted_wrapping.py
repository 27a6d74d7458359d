"""Key stores that are wrong in how they wrap, unwrap or end. Each says which test of the kit has to fail."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from openkcm.sdk.key_store import Ability, Answered, Context, Finding, Wrapped
from openkcm.sdk.testing.memory_key_store import MemoryKeyStore

ANYWHERE = Context(tenant="any", key_id="any", region="any")


class Honest(MemoryKeyStore):
    """Nothing is wrong with it."""

    caught_by: ClassVar[str] = ""
    lacks: ClassVar[frozenset[Ability]] = frozenset()


class LosesAKey(Honest):
    """What it wrapped opens only as long as it is open."""

    caught_by = "test_the_same_key_comes_back_after_reopening"

    async def wrap(self, key: bytes, context: Context) -> Wrapped:
        self.mask = getattr(self, "mask", os.urandom(32))
        return await super().wrap(_xor(key, self.mask), context)

    async def unwrap(self, wrapped: Wrapped, context: Context) -> bytes:
        self.mask = getattr(self, "mask", os.urandom(32))
        return _xor(await super().unwrap(wrapped, context), self.mask)

    async def probe(self) -> None:
        await super().unwrap(await super().wrap(bytes(32), ANYWHERE), ANYWHERE)


class MixesTenants(Honest):
    """All connections of a process use the credentials and the key of the one that was opened last."""

    caught_by = "test_two_tenants_are_not_mixed_by_fifty_calls_at_once"
    last: ClassVar[MemoryKeyStore]

    async def wrap(self, key: bytes, context: Context) -> Wrapped:
        MixesTenants.last = self
        return await super().wrap(key, context)

    async def unwrap(self, wrapped: Wrapped, context: Context) -> bytes:
        return await MemoryKeyStore.unwrap(MixesTenants.last, wrapped, context)


class FollowsTheReference(Honest):
    """It asks for whatever key the wrap names, with an identity that may use all of them."""

    caught_by = "test_another_tenants_wrap_is_refused"

    async def unwrap(self, wrapped: Wrapped, context: Context) -> bytes:
        held = self._kms.held
        named = next((name for name, key in held.keys.items() if name == wrapped.reference), self._caller.key)
        identity = next(iter(held.keys[named].rights), self._caller.identity)
        with self._kms.changing() as changed:
            before = changed.identities[identity].password
            changed.identities[identity].password = changed.identities[self._caller.identity].password
        mine, self._caller = self._caller, replace(self._caller, key=named, identity=identity)
        try:
            return await super().unwrap(wrapped, context)
        finally:
            self._caller = mine
            with self._kms.changing() as changed:
                changed.identities[identity].password = before


class WrapsWithAConstant(Honest):
    """Every key has the same blob; the last one is remembered beside it."""

    caught_by = "test_two_keys_have_two_blobs_and_neither_shows_its_key"

    async def wrap(self, key: bytes, context: Context) -> Wrapped:
        self.key = key
        return replace(await super().wrap(key, context), blob=b"constant")

    async def unwrap(self, wrapped: Wrapped, context: Context) -> bytes:
        return self.key


class WrapsUnderAConstantKey(Honest):
    """The root key is asked, but what wraps is the same for everybody."""

    caught_by = "test_another_tenants_wrap_is_refused"

    async def wrap(self, key: bytes, context: Context) -> Wrapped:
        return replace(await super().wrap(key, context), blob=_xor(key, b"\x5a" * 32) + os.urandom(8))

    async def unwrap(self, wrapped: Wrapped, context: Context) -> bytes:
        return _xor(wrapped.blob[:32], b"\x5a" * 32)


class WrapsNothing(Honest):
    """The blob has the key in it."""

    caught_by = "test_two_keys_have_two_blobs_and_neither_shows_its_key"

    async def wrap(self, key: bytes, context: Context) -> Wrapped:
        wrapped = await super().wrap(key, context)
        return replace(wrapped, blob=wrapped.blob + key)

    async def unwrap(self, wrapped: Wrapped, context: Context) -> bytes:
        return await super().unwrap(replace(wrapped, blob=wrapped.blob[:-32]), context)


class AuthenticatesNothing(Honest):
    """What is turned in the blob is turned in the key."""

    caught_by = "test_a_blob_that_was_changed_is_refused_and_proves_nothing"

    async def wrap(self, key: bytes, context: Context) -> Wrapped:
        nonce = os.urandom(32)
        return replace(await super().wrap(key, context), blob=nonce + _xor(key, nonce))

    async def unwrap(self, wrapped: Wrapped, context: Context) -> bytes:
        return _xor(wrapped.blob[32:64], wrapped.blob[:32])


class IgnoresTheTail(Honest):
    """What follows the blob is not looked at."""

    caught_by = "test_a_blob_that_was_changed_is_refused_and_proves_nothing"

    async def unwrap(self, wrapped: Wrapped, context: Context) -> bytes:
        return await super().unwrap(replace(wrapped, blob=wrapped.blob[:80][:64]), context)


class TakesADamagedBlobForProof(Honest):
    """A changed blob is taken for a proof that the key is refused."""

    caught_by = "test_a_blob_that_was_changed_is_refused_and_proves_nothing"

    async def unwrap(self, wrapped: Wrapped, context: Context) -> bytes:
        try:
            return await super().unwrap(wrapped, context)
        except Answered as refused:
            raise Answered("not-permitted") if refused.code == "ciphertext-invalid" else refused from None


class IgnoresContext(Honest):
    """It declares that it binds the context, and does not."""

    caught_by = "test_another_context_is_refused"

    def _bound(self, context: Context) -> bytes:
        return b""


class BindsHalfTheContext(Honest):
    """Tenant and key id are written one after the other without a border, and the region not at all."""

    caught_by = "test_another_context_is_refused"

    def _bound(self, context: Context) -> bytes:
        return (context.tenant + context.key_id).encode()


class LosesOldVersions(Honest):
    """It declares that its key has versions, and knows the newest alone."""

    caught_by = "test_what_an_older_version_wrapped_opens_after_a_rotation"

    async def unwrap(self, wrapped: Wrapped, context: Context) -> bytes:
        if wrapped.version != (await super().describe()).version:
            raise Answered("ciphertext-invalid")
        return await super().unwrap(wrapped, context)


class NeverHeals(Honest):
    """It declares that a key heals, and remembers for ever that it was refused."""

    caught_by = "test_a_key_that_was_disabled_works_as_before_when_enabled"

    async def unwrap(self, wrapped: Wrapped, context: Context) -> bytes:
        if hasattr(self, "refused"):
            raise Answered("key-disabled")
        try:
            return await super().unwrap(wrapped, context)
        except Answered as refused:
            if refused.code == "key-disabled":
                self.refused = True
            raise


class TrustsNobody(Honest):
    """It declares that it can set up permissions, and does nothing."""

    caught_by = "test_trust_sets_up_what_was_missing"

    async def trust(self, set_up: Mapping[str, str]) -> Sequence[Finding]:
        return [Finding(level="ok", code="permissions-set", said="Done.")]


class NamesNoKey(Honest):
    """Its wraps do not say which key made them."""

    caught_by = "test_a_wrap_says_how_and_under_which_key_it_was_made"

    async def wrap(self, key: bytes, context: Context) -> Wrapped:
        return replace(await super().wrap(key, context), reference="")


class OpensAnything(AuthenticatesNothing):
    """What was garbled on its way it opens as another key."""

    caught_by = "test_an_answer_that_was_garbled_on_its_way_never_opens"


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(left ^ other[at % len(other)] for at, left in enumerate(one))
