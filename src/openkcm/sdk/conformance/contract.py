"""What every kit has in common: its tests are inherited as they are, and lacking abilities are declared."""

from __future__ import annotations

from typing import ClassVar

import pytest

_NOT_TO_BE_SET = frozenset({"__test__", "pytestmark"})


class Contract:
    """A kit of tests that a plugin inherits. None can be overridden, renamed away or switched off as a whole.

    ``lacks`` names the abilities that the plugin's system does not have; their tests are skipped by that name.
    """

    lacks: ClassVar[frozenset[str]] = frozenset()
    abilities: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls, **more: object) -> None:
        super().__init_subclass__(**more)
        kits = [above for above in cls.__mro__[1:] if Contract in above.__mro__ and above is not Contract]
        promised = {
            name: promise for kit in kits for name, promise in vars(kit).items() if name.startswith("test_")
        }
        changed = sorted(
            name for name, promise in promised.items() if getattr(cls, name, None) is not promise
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
