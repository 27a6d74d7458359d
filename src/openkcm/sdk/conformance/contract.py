"""What every kit has in common: its tests are inherited as they are, and lacking abilities are declared."""

from __future__ import annotations

from inspect import getattr_static
from typing import ClassVar

import pytest

_NOT_TO_BE_SET = frozenset({"__test__", "pytestmark"})
_KITS = __name__.rpartition(".")[0]
_TO_BE_SET = frozenset({"lacks", "declaration"})


class Contract:
    """A kit of tests that a plugin inherits. None can be overridden, renamed away or switched off as a whole.

    ``lacks`` names the abilities that the plugin's system does not have; their tests are skipped by that name.
    """

    lacks: ClassVar[frozenset[str]] = frozenset()
    abilities: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls, **more: object) -> None:
        super().__init_subclass__(**more)
        kits = [above for above in cls.__mro__[1:] if Contract in above.__mro__]
        promised = {
            name: promise for kit in kits for name, promise in vars(kit).items() if _is_promise(kit, name)
        }
        changed = sorted(
            name for name, promise in promised.items() if getattr_static(cls, name, None) is not promise
        )
        changed += sorted(_NOT_TO_BE_SET & vars(cls).keys())
        if changed:
            raise TypeError(f"{cls.__name__} changes the contract it inherits: {', '.join(changed)}")
        unknown = sorted(cls.lacks - cls.abilities)
        if unknown:
            raise TypeError(f"{cls.__name__} lacks what is no ability of this contract: {', '.join(unknown)}")

    def needs(self, ability: str) -> None:
        """The test goes on only where the plugin has the ability."""
        if ability in self.lacks:
            pytest.skip(f"{type(self).__name__} lacks {ability}")


def _is_promise(kit: type[Contract], name: str) -> bool:
    """Whether nobody below may change it: any test, and whatever else our own kits are made of."""
    if name.startswith("test_"):
        return True
    if kit is Contract:
        return name == "needs"
    return kit.__module__.startswith(f"{_KITS}.") and not name.startswith("__") and name not in _TO_BE_SET
