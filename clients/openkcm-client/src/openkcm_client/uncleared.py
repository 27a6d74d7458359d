"""Memory for a message that is about to be written whole. Clearing it first would be a tenth of encrypting 64 KiB."""

from __future__ import annotations

from collections.abc import Callable


def _uncleared() -> Callable[[int], bytes]:
    try:
        import ctypes  # noqa: PLC0415 - an interpreter may have none

        # Documented, and of the stable ABI: of a null pointer it makes bytes whose contents are yet to be written.
        # Asked for by subscript it is ours alone, whatever types others of this process give to theirs.
        make = ctypes.pythonapi["PyBytes_FromStringAndSize"]
    except (ImportError, AttributeError, MemoryError):
        return bytes  # an interpreter without C's API, or a machine that forbids ctypes: cleared, and right as well
    make.restype = ctypes.py_object
    make.argtypes = (ctypes.c_void_p, ctypes.c_ssize_t)

    def uncleared(size: int) -> bytes:
        made: bytes = make(None, size)
        return made

    return uncleared


uncleared = _uncleared()
"""``size`` bytes that hold what stood in memory: for who writes every one of them before anybody else sees them."""
