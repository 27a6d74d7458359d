"""Landlock: from now on this process and its threads read only what was named, and write only what was named.

The kernel's own numbers stand here, because no library wraps them: they are the same on every architecture.
Source: landlock(7) and the kernel's Documentation/userspace-api/landlock.rst, ABI 1 to 7.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION: Final = 1
_PATH_BENEATH, _NET_PORT = 1, 2
_PR_SET_NO_NEW_PRIVS: Final = 38

_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_WRITE_FILE: Final = 1 << 1
_TRUNCATE: Final = 1 << 14
_MAKE_REG, _REMOVE_FILE = 1 << 8, 1 << 5
# How many rights over files an ABI knows: 1 has thirteen, then REFER, TRUNCATE and IOCTL_DEV came.
_FILE_RIGHTS: Final = ((5, 16), (3, 15), (2, 14), (1, 13))
_BIND_TCP, _CONNECT_TCP = 1, 2
_SCOPE_ABSTRACT_SOCKET, _SCOPE_SIGNAL = 1, 2
PORTS_ABI: Final = 4
"""The first version that knows TCP ports."""


def landlock_abi() -> int:
    """The version of Landlock that this kernel has; 0 where there is none, or it is switched off."""
    found = _libc().syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_ASK_VERSION))
    return max(0, int(found))


def restrict(reads: Iterable[Path], writes: Iterable[Path], ports: Iterable[int] = ()) -> int:
    """This thread, and each that it starts, is confined; the ABI by which it is. 0: the kernel has no Landlock.

    Nothing is executed, no TCP port is bound, no abstract socket and no process outside is reached, as far as the ABI
    goes. ``ports`` are the only TCP ports that are connected to; none named means any. Paths that are not there are
    passed over. Call before the first other thread.

    Raises:
        OSError: the kernel has Landlock and did not take the rules. The process must not go on.
    """
    abi = landlock_abi()
    if abi == 0:
        return 0
    ports = tuple(ports)
    rules = _create(abi, connecting=bool(ports))
    try:
        for path in reads:
            _allow(rules, path, _READ_FILE | _READ_DIR)
        for path in writes:
            _allow(rules, path, _kept_writes(abi))
        for port in ports if abi >= PORTS_ABI else ():
            _add(rules, _NET_PORT, struct.pack("=QQ", _CONNECT_TCP, port))
        libc = _libc()
        if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 or libc.syscall(_RESTRICT_SELF, rules, 0) != 0:
            raise _failed("the restriction")
    finally:
        os.close(rules)
    return abi


def _create(abi: int, *, connecting: bool) -> int:
    rights = next(count for least, count in _FILE_RIGHTS if abi >= least)
    attributes = struct.pack("=Q", (1 << rights) - 1)
    if abi >= PORTS_ABI:
        attributes += struct.pack("=Q", _BIND_TCP | (_CONNECT_TCP if connecting else 0))
    if abi >= 6:
        attributes += struct.pack("=Q", _SCOPE_ABSTRACT_SOCKET | _SCOPE_SIGNAL)
    made = int(_libc().syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0))
    if made < 0:
        raise _failed("the ruleset")
    return made


def _kept_writes(abi: int) -> int:
    """Reading, writing, making and removing plain files: what a token's own folder wants."""
    return _READ_FILE | _READ_DIR | _WRITE_FILE | _MAKE_REG | _REMOVE_FILE | (_TRUNCATE if abi >= 3 else 0)


def _allow(rules: int, path: Path, rights: int) -> None:
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            if not stat.S_ISDIR(os.fstat(opened).st_mode):
                rights &= _READ_FILE | _WRITE_FILE | _TRUNCATE
            _add(rules, _PATH_BENEATH, struct.pack("=Qi", rights, opened))
        finally:
            os.close(opened)


def _add(rules: int, kind: int, rule: bytes) -> None:
    if _libc().syscall(_ADD_RULE, rules, kind, rule, 0) != 0:
        raise _failed("a rule")


def _failed(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"Landlock did not take {what}: {os.strerror(number)}")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
