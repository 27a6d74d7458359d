"""The place where root keys are, as the kit for key stores handles it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from openkcm.sdk.key_store import Ability, Connection, Context, KeyStorePlugin

TENANT = "2hy7gk1p3c0zq9xv"
OTHER_TENANT = "3ab8hl2q4d1ar0yw"

ACTS: Mapping[str, Ability | None] = {
    "rotate": Ability.ROTATION,
    "disable": Ability.HEALING,
    "set_up": Ability.TRUST,
    "disown": Ability.OWNERSHIP,
    "expose": Ability.OUTSIDE,
    "unknown_answer": None,
    "garbage": None,
    "grant_too_much": None,
    "wrong_value": None,
    "take_right": None,
}
"""What a place may be asked to do beside its documented answers, and the ability that is shown by it."""


class KeyPlace(ABC):
    """The provider in the hands of a test: the emulator of it, or an account of its own at the real one.

    ``cannot`` says what this place cannot do, and why; the tests of it are skipped with that reason. Its keys are a
    documented code, ``mend:CODE`` (what was caused is final), a name of ``ACTS``, ``take_right:PERMISSION`` or
    ``wrong_value:FIELD``. What shows a declared ability may stand there only where the place is ``live``, which a
    place is that is the real provider. ``region`` is the region that wraps.
    """

    cannot: ClassVar[Mapping[str, str]] = {}
    live: ClassVar[bool] = False
    region: ClassVar[str] = "local"

    @property
    @abstractmethod
    def plugin(self) -> KeyStorePlugin:
        """The plugin as its hook gives it, with deadlines that a test can wait for."""

    @abstractmethod
    async def connect(self, tenant: str) -> Connection:
        """A new connection of this tenant to a new key, which may do all that is declared and nothing more.

        Its secrets are looked for wherever something is told, so they are random, and as long as the provider allows.
        """

    @abstractmethod
    async def cause(self, code: str, connection: Connection) -> None:
        """From now on this connection meets what is documented as ``code``, where it can be met at all.

        A code that only a changed blob or another context meets needs nothing to be done: the kit brings these.
        """

    @abstractmethod
    async def mend(self, connection: Connection) -> None:
        """All that was caused, taken or made wrong for this connection is over."""

    @abstractmethod
    async def snapshot(self) -> object:
        """All that the provider holds: keys, versions, states, rights, objects. Equal as long as nothing changed."""

    async def rotate(self, connection: Connection) -> None:
        """The key has a new version, which wraps from now on. Ability ``rotation``."""
        raise AssertionError("a place whose store has the ability rotation says how to rotate")

    async def disable(self, connection: Connection) -> None:
        """The key is disabled, until ``mend``. Ability ``healing``."""
        raise AssertionError("a place whose store has the ability healing says how to disable a key")

    async def set_up(self, connection: Connection) -> Mapping[str, str]:
        """The connection has no right any more; the answer holds set-up credentials that may give them.

        Ability ``trust``.
        """
        raise AssertionError("a place whose store has the ability trust says how to set it up")

    async def disown(self, connection: Connection) -> None:
        """The key's owner names somebody else than this tenant, or nobody. Ability ``ownership``."""
        raise AssertionError("a place whose store has the ability ownership says how to disown")

    async def expose(self, connection: Connection) -> None:
        """Nothing proves any more that the key never left its environment. Ability ``outside``."""
        raise AssertionError("a place whose store has the ability outside says how to expose")

    async def unknown_answer(self, connection: Connection) -> None:
        """The provider answers with an error that nobody documented."""
        raise AssertionError("a place says how its provider answers what nobody knows, or that it cannot")

    async def garbage(self, connection: Connection) -> None:
        """The provider's answers are not of its own form: cut, of another type, or a page of somebody else's."""
        raise AssertionError("a place says how its provider answers garbage, or that it cannot")

    async def take_right(self, connection: Connection, permission: str) -> None:
        """The connection has this declared permission no more."""
        raise AssertionError("a place says how a permission is taken, or that it cannot")

    async def grant_too_much(self, connection: Connection) -> str:
        """The connection has one right more than it needs; the answer is the provider's name for it."""
        raise AssertionError("a place says how to grant what is not needed, or that it cannot")

    async def wrong_value(self, connection: Connection, field: str) -> str:
        """A value of this field that has the right form and is wrong."""
        raise AssertionError("a place says how a field can be wrong, or that it cannot")

    def context(self, connection: Connection, number: int = 0) -> Context:
        """What the ``number``-th key of this connection's tenant belongs to."""
        return Context(tenant=connection.tenant, key_id=f"{number + 1:032x}", region=self.region)
