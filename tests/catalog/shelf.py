"""Plugins as a test writes them."""

from __future__ import annotations

from pathlib import Path

from openkcm.catalog.registry import Installed

HEAD = """
from openkcm.sdk.hookspecs import hookimpl
from openkcm.sdk.refusals import Permanent, Refusal, Remedy
from openkcm.sdk.testing.memory_notifier import MemoryNotifier
from openkcm.sdk.testing.memory_source import MemorySource
"""


class Shelf:
    """Plugins as modules on the path, announced without a distribution."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plugins: list[Installed] = []

    def add(self, name: str, body: str, *, head: str = HEAD) -> None:
        module = f"shelf_{self.folder.name.replace('-', '_')}_{name.replace('-', '_')}"
        (self.folder / f"{module}.py").write_text(head + body)
        self.plugins.append(Installed(name=name, module=module, distribution=f"dist-{name}", version="1"))

    @property
    def all(self) -> tuple[Installed, ...]:
        return tuple(self.plugins)
