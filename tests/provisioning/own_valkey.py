"""A Valkey of a module's own, which may be restarted without what was in it."""

from __future__ import annotations

import asyncio

from openkcm.embedded.files import remove_tree
from openkcm.embedded.valkey import RunningValkey, start_valkey
from tests.databases import short_directory


class OwnValkey:
    """Runs until ``close``."""

    def __init__(self) -> None:
        self.home = short_directory()
        self.runner = asyncio.Runner()
        self.server = self._start()

    @property
    def url(self) -> str:
        return self.server.url

    def restart(self) -> None:
        """As after a loss of the machine: what was queued is gone."""
        self.runner.run(self.server.stop())
        remove_tree(self.home / "state")
        self.server = self._start()

    def close(self) -> None:
        self.runner.run(self.server.stop())
        self.runner.close()
        remove_tree(self.home)

    def _start(self) -> RunningValkey:
        return self.runner.run(start_valkey(self.home / "state", self.home / "run"))
