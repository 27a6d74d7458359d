"""Static files by the hash of their content: what has an address never changes, so it may be kept for ever."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from openkcm.web import paths

_FOLDER: Final = Path(__file__).parent / "static"
_MEDIA_TYPES: Final = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file in memory, as it is and compressed; ``version`` is the start of its SHA-256."""

    name: str
    media_type: str
    version: str
    content: bytes
    compressed: bytes

    @property
    def address(self) -> str:
        """The path under which exactly this content is served."""
        return f"{paths.STATIC}/{self.version}/{self.name}"


def _read(file: Path) -> Asset:
    content = file.read_bytes()
    return Asset(
        name=file.name,
        media_type=_MEDIA_TYPES[file.suffix],
        version=hashlib.sha256(content).hexdigest()[:16],
        content=content,
        compressed=gzip.compress(content, compresslevel=9, mtime=0),
    )


@cache
def assets() -> dict[str, Asset]:
    """Every static file by its name, read once per process."""
    return {file.name: _read(file) for file in sorted(_FOLDER.iterdir()) if file.suffix in _MEDIA_TYPES}


def address(name: str) -> str:
    """Where the file is served. Raises ``KeyError`` for a name that does not exist."""
    return assets()[name].address
