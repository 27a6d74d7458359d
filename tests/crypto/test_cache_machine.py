"""No key is used against the newest document that is known, nor unconfirmed; every other use works. It is alive."""

from __future__ import annotations

from collections.abc import Callable, Collection

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from openkcm.crypto import cache
from openkcm.crypto.applied import AppliedState
from openkcm.crypto.cache import KeyCache
from openkcm.crypto.here import Here
from openkcm.crypto.view import View
from tests.crypto import cache_machine
from tests.crypto.cache_machine import CacheMachine

Plant = Callable[[pytest.MonkeyPatch], None]
FIND = settings(
    max_examples=4000,  # it stops at the first that fails
    stateful_step_count=30,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)

TestCacheMachine = CacheMachine.TestCase
TestCacheMachine.settings = settings(
    max_examples=150,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)


def keys_are_known_by_their_id_alone(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(cache, "_name", lambda _, key_id: ("", key_id, (0, 0, 0)))
    patch.setattr(KeyCache, "sweep", lambda *_: None)
    patch.setattr(KeyCache, "follow", lambda *_: None)
    patch.setattr(CacheMachine, "sweep", lambda _: None)
    patch.setattr(CacheMachine, "check_swept", lambda _: None)  # by their use alone it has to be found


def nobody_confirms(patch: pytest.MonkeyPatch) -> None:
    view = AppliedState.view
    patch.setattr(AppliedState, "view", lambda self, tenant, _now=None: view(self, tenant, self.confirmed_at))


def a_change_leaves_what_another_document_allowed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(KeyCache, "follow", lambda *_: None)


def a_change_is_not_noted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(AppliedState, "take_moved", lambda _: set())


def a_sweep_leaves_what_is_too_old(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(KeyCache, "sweep", lambda *_: None)


def a_revoke_leaves_keys_in_memory(patch: pytest.MonkeyPatch) -> None:
    def forget(self: KeyCache, tenants: Collection[str]) -> None:
        return

    patch.setattr(KeyCache, "forget", forget)


def what_counts_is_asked_once(patch: pytest.MonkeyPatch) -> None:
    async def encrypt(here: Here, view: View, service: str, plaintext: bytes, aad: bytes) -> bytes:
        key = await here.keys.get(view, view.encrypting_key(service))
        return key.encrypting(0.0).encrypt(plaintext, aad)

    patch.setattr(cache_machine, "encrypt", encrypt)


def the_last_who_asked_takes_the_key_from_all(patch: pytest.MonkeyPatch) -> None:
    async def get(self: KeyCache, view: View, key_id: bytes) -> object:
        if (key := self.known(view, key_id)) is not None:
            return key
        return await self._ask(view, key_id).answer

    patch.setattr(KeyCache, "get", get)


PLANTED: list[tuple[Plant, str]] = [
    (keys_are_known_by_their_id_alone, "against the newest document"),
    (nobody_confirms, "that nobody confirmed"),
    (a_change_leaves_what_another_document_allowed, "in memory after a sweep"),
    (a_change_is_not_noted, "in memory after a sweep"),
    (a_sweep_leaves_what_is_too_old, "in memory that is too old"),
    (a_revoke_leaves_keys_in_memory, "a revoked key is in memory"),
    (what_counts_is_asked_once, "against the newest document|that nobody confirmed"),
    (the_last_who_asked_takes_the_key_from_all, "not a refusal|nothing forbade"),
]


@pytest.mark.parametrize(("plant", "found"), PLANTED, ids=[plant.__name__ for plant, _ in PLANTED])
def test_the_machine_finds_that(plant: Plant, found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError, match=found):
        run_state_machine_as_test(CacheMachine, settings=FIND)
