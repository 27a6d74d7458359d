"""A filter on system calls: no child process, no other program, no unix socket, no look at or signal to a process.

Nor does it have a descriptor signal another process, set another process's share of the processors, or have memory that
the limits do not count: shared without a file, or kept by the kernel after its end.

What Landlock does not cover, or an older kernel's does not: a path's unix socket may be connected to by whoever may
write to it, and a process of the same uid may be signalled. Source: seccomp(2), seccomp_filter.rst; call numbers of
the kernel's tables for x86-64 and arm64, the only ones of which a host is filtered.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from dataclasses import dataclass
from typing import Final

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP = 38, 22
_MODE_FILTER: Final = 2
_ALLOW, _ERRNO, _KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_CALL_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT, _SECOND_ARGUMENT_AT, _FOURTH_ARGUMENT_AT = 0, 4, 16, 24, 40
# F_SETOWN F_SETSIG F_SETOWN_EX, and FIOSETOWN SIOCSPGRP: whom a descriptor signals, and with what.
_OWNERS: Final = (8, 10, 15)
_SOCKET_OWNERS: Final = (0x8901, 0x8902)
_MAP_SHARED, _MAP_ANONYMOUS = 0x01, 0x20
_CLONE_THREAD: Final = 0x00010000
_X32: Final = 0x40000000
_UNIX, _INET, _INET6, _NETLINK = 1, 2, 10, 16
_PR_SET_DUMPABLE: Final = 4
_WHOLE: Final = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class _Calls:
    """An architecture's numbers. ``own`` take a process as their first argument, which may be the caller alone."""

    architecture: int
    socket: int
    clone: int
    prctl: int
    mmap: int
    fcntl: int
    ioctl: int
    own: tuple[int, ...]
    never: tuple[int, ...]
    clone3: int = 435


# own: kill tkill tgkill prlimit64 rt_sigqueueinfo rt_tgsigqueueinfo; sched_setparam sched_setscheduler
#   sched_setaffinity sched_setattr migrate_pages move_pages.
# never: ptrace execve execveat process_vm_readv process_vm_writev pidfd_getfd pidfd_send_signal io_uring_setup bpf
#   perf_event_open userfaultfd keyctl add_key request_key unshare setns mount open_by_handle_at kcmp; fork and vfork;
#   setpriority ioprio_set shmget msgget semget mq_open; pidfd_open process_madvise process_mrelease.
_CALLS: Final = {
    "x86_64": _Calls(
        0xC000003E,
        socket=41,
        clone=56,
        prctl=157,
        mmap=9,
        fcntl=72,
        ioctl=16,
        own=(62, 200, 234, 302, 129, 297, 142, 144, 203, 314, 256, 279),
        never=(
            *(101, 59, 322, 310, 311, 438, 424, 425, 321),
            *(298, 323, 250, 248, 249, 272, 308, 165, 304, 312, 57, 58),
            *(141, 251, 29, 68, 64, 240, 434, 440, 448),
        ),
    ),
    "aarch64": _Calls(
        0xC00000B7,
        socket=198,
        clone=220,
        prctl=167,
        mmap=222,
        fcntl=25,
        ioctl=29,
        own=(129, 130, 131, 261, 138, 240, 118, 119, 122, 274, 238, 239),
        never=(
            *(117, 221, 281, 270, 271, 438, 424, 425, 280),
            *(241, 282, 219, 217, 218, 97, 268, 40, 265, 272),
            *(140, 30, 194, 186, 190, 180, 434, 440, 448),
        ),
    ),
}


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def filter_calls(*, unix_sockets: bool = False) -> bool:
    """This thread, and each that it starts, is filtered; False where the machine's calls are not known or it refuses.

    ``unix_sockets`` lets it make unix sockets too: some modules speak to a daemon of their own.
    """
    calls = _CALLS.get(platform.machine())
    if calls is None:
        return False
    program = _program(calls, unix_sockets=unix_sockets)
    libc = ctypes.CDLL(None, use_errno=True)
    given = _Program(len(program) // 8, program)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    return bool(libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(given), 0, 0) == 0)


def _program(calls: _Calls, *, unix_sockets: bool) -> bytes:
    families = (_INET, _INET6, _NETLINK, *((_UNIX,) if unix_sockets else ()))
    made = [
        _do(_LOAD, _ARCHITECTURE_AT),
        _do(_EQUAL, calls.architecture, 1, 0),
        _do(_RETURN, _KILL_PROCESS),
        _do(_LOAD, _CALL_AT),
        _do(_AT_LEAST, _X32, 0, 1),
        _refuse(errno.ENOSYS),
    ]
    for number in calls.never:
        made += [_do(_EQUAL, number, 0, 1), _refuse(errno.EPERM)]
    # The C library falls back to clone, whose flags can be seen.
    made += [_do(_EQUAL, calls.clone3, 0, 1), _refuse(errno.ENOSYS)]
    made += _where(calls.clone, [_do(_ANY_BIT, _CLONE_THREAD, 1, 0), _refuse(errno.EPERM)])
    made += _where(calls.prctl, [_do(_EQUAL, _PR_SET_DUMPABLE, 0, 1), _refuse(errno.EPERM)])
    made += _where(
        calls.mmap,
        [
            _do(_ANY_BIT, _MAP_ANONYMOUS, 0, 2),
            _do(_ANY_BIT, _MAP_SHARED, 0, 1),
            _refuse(errno.EPERM),
        ],
        argument_at=_FOURTH_ARGUMENT_AT,
    )
    made += _where(calls.fcntl, _none_of(_OWNERS), argument_at=_SECOND_ARGUMENT_AT)
    made += _where(calls.ioctl, _none_of(_SOCKET_OWNERS), argument_at=_SECOND_ARGUMENT_AT)
    made += _where(calls.socket, _one_of(families, errno.EACCES))
    for number in calls.own:
        made += _where(number, _one_of((0, os.getpid()), errno.EPERM))
    made.append(_do(_RETURN, _ALLOW))
    return b"".join(made)


def _where(number: int, then: list[bytes], *, argument_at: int = _FIRST_ARGUMENT_AT) -> list[bytes]:
    """For this call only: ``then`` looks at one argument, the first, and what it lets through is allowed."""
    return [
        _do(_EQUAL, number, 0, len(then) + 2),
        _do(_LOAD, argument_at),
        *then,
        _do(_RETURN, _ALLOW),
    ]


def _one_of(values: tuple[int, ...], otherwise: int) -> list[bytes]:
    """Jumps over the refusal where the argument is one of these."""
    looks = [_do(_EQUAL, value & _WHOLE, len(values) - at, 0) for at, value in enumerate(values)]
    return [*looks, _refuse(otherwise)]


def _none_of(values: tuple[int, ...]) -> list[bytes]:
    """Refuses where the argument is one of these."""
    return [part for value in values for part in (_do(_EQUAL, value, 0, 1), _refuse(errno.EPERM))]


def _refuse(number: int) -> bytes:
    return _do(_RETURN, _ERRNO | number)


def _do(code: int, value: int, if_so: int = 0, if_not: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_so, if_not, value)
