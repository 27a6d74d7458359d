"""Using a service's keys. What every door to the data plane comes down to.

An ``Act`` is one use. Where all that it takes is in memory it is done ``at_once``; else ``use`` waits, and whatever had
to be waited for, what counts is asked again afterwards: nothing is answered by a state that another one has followed
meanwhile, nor by one that the database has not confirmed lately.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from openkcm.crypto.cache import ServiceKey
from openkcm.crypto.contract import Verb
from openkcm.crypto.here import Here
from openkcm.crypto.note_use import note_use
from openkcm.crypto.view import View
from openkcm.sdk.refusals import Permanent, Refusal, Refused, Remedy, Temporary

Done_co = TypeVar("Done_co", covariant=True)
Done = TypeVar("Done")


class Act(Protocol[Done_co]):
    """One use of a service's keys; it holds what it was given, and is used once."""

    key_id: bytes
    """The key that it uses, as soon as ``wants`` has found it."""

    def permitted(self, verbs: tuple[Verb, ...]) -> bool:
        """Whether somebody who may do ``verbs`` may do this."""
        ...

    def wants(self, view: View, service: str) -> tuple[bytes, ...]:
        """The ids of the keys that it takes.

        Raises:
            Permanent: the view does not allow it, or what was given is no good.
        """
        ...

    def does(self, here: Here, view: View, keys: Sequence[ServiceKey]) -> Done_co:
        """What was asked for. The view allows it now, and these are the keys that it ``wants``.

        Raises:
            Permanent: what was given does not open.
        """
        ...

    def gone(self) -> Refused:
        """The refusal where a key that it wants has been closed, to be destroyed."""
        ...


def at_once(here: Here, view: View, service: str, act: Act[Done], now: float | None = None) -> Done | None:
    """What was asked for, or None where something has to be waited for first.

    ``now`` of who has just asked the clock (monotonic seconds).

    Raises:
        Refused: as ``use``, but for what only somebody meets who waits.
    """
    if here.region not in view.desired.regions:
        view.check_here(here.region)
    wanted = act.wants(view, service)
    if not here.roots.at_hand(view, now):
        return None
    keys = []
    for key_id in wanted:
        if (key := here.keys.known(view, key_id, now)) is None:
            return None
        if key_id in view.pending and (key_id, view.pending[key_id].since) not in here.used:
            return None
        keys.append(key)
    return act.does(here, view, keys)


async def use(here: Here, view: View, service: str, act: Act[Done]) -> Done:
    """What was asked for, whatever has to be waited for.

    Where a key is to be destroyed, it is on record that it was used before the answer leaves: that stops it. What does
    not open is no use.

    Raises:
        Permanent: REGION_NOT_IN_SET, KEY_BLOCKED, KEY_REVOKED, RECORD_MISMATCH; KEY_SUSPENDED, KEY_STORE_REFUSED,
            KEY_STORE_DOUBTFUL of a customer's root key; what the act itself refuses.
        Temporary: DATABASE_UNAVAILABLE, for a key that is not in memory or is to be destroyed; UNAVAILABLE;
            KEY_STORE_SILENT, KEY_STORE_NO_ANSWER, CUT_OFF.
    """
    while True:
        view.check_here(here.region)
        wanted = act.wants(view, service)
        await here.roots.ready(view)
        keys = [await here.keys.get(view, key_id) for key_id in wanted]
        if (now := here.state.view(view.tenant)) is view:
            here.roots.allowed.check(view)
            done = act.does(here, view, keys)
            pending = [key_id for key_id in wanted if key_id in view.pending]
            for key_id in pending:
                if not await note_use(here, view, key_id):
                    raise act.gone()
            if not pending or (now := here.state.view(view.tenant)) is view:
                here.roots.allowed.check(view)
                return done
        view = _followed(view, now)


def _followed(before: View, now: View) -> View:
    """The view that counts now, for a caller whom ``before`` allowed.

    Raises:
        Temporary: UNAVAILABLE; other callers are registered now, so that the caller has to be looked at anew.
    """
    if now.desired.callers == before.desired.callers:
        return now
    raise Temporary(
        Refusal.UNAVAILABLE,
        f"The callers of tenant '{now.tenant}' were changed while its key was being loaded.",
        remedy=Remedy("Ask again.", "caller", "reference/crypto-service#keys-in-memory"),
        retry_after_s=0.1,
    )


def bad_ciphertext() -> Permanent:
    """The refusal of every message that does not open: nobody learns which part of it was right."""
    return Permanent(
        Refusal.CIPHERTEXT_INVALID,
        "The message does not open for this tenant, service and associated data.",
        remedy=Remedy(
            "Send the whole message as encrypt answered it, with the same associated data.",
            "caller",
            "reference/crypto-service#refusals",
        ),
    )


def too_large() -> Permanent:
    """The refusal of an item beyond its limits."""
    return Permanent(
        Refusal.TOO_LARGE,
        "A message holds up to 1 MiB of plaintext and 64 KiB of associated data.",
        remedy=Remedy("Send less at once.", "caller", "reference/crypto-service#limits"),
    )
