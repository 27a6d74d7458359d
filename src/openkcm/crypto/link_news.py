"""Which ways to root keys changed lately, for whoever asks. In memory, and of one run of the process."""

from __future__ import annotations

import secrets


class LinkNews:
    """Which keys' state changed, and in which order, in this run of the process."""

    def __init__(self) -> None:
        self.run = secrets.token_hex(8)
        self.number = 0
        self._changed: dict[bytes, int] = {}

    def note(self, key_id: bytes) -> None:
        """The state of this key changed."""
        self.number += 1
        self._changed.pop(key_id, None)
        self._changed[key_id] = self.number

    def since(self, number: int) -> list[bytes]:
        """The keys whose state changed after this number."""
        found: list[bytes] = []
        for key_id in reversed(self._changed):
            if self._changed[key_id] <= number:
                break
            found.append(key_id)
        return found

    def keep(self, key_ids: frozenset[bytes]) -> None:
        """Nothing is known of others."""
        self._changed = {key_id: at for key_id, at in self._changed.items() if key_id in key_ids}
