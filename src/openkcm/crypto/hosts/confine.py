"""What a key-store host does to itself before it loads a plugin: it gives up what the plugin must not have.

``python -m openkcm.crypto.hosts.confine`` confines itself as a host does, and prints as JSON what it came to.
"""

from __future__ import annotations

import ctypes
import os
import resource
import site
import ssl
import stat
import struct
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from openkcm.crypto.harden import harden
from openkcm.crypto.hosts.call_filter import filter_calls
from openkcm.crypto.hosts.landlock import landlock_abi, restrict

_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _PR_CAP_AMBIENT = 1, 24, 47
_SIGKILL, _CLEAR_ALL = 9, 4
_LAST_CAPABILITY: Final = 63
_CAPABILITIES_VERSION: Final = 0x20080522
_OPEN_FILES: Final = 1024
_NAMES: Final = (
    *("/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf"),
    *("/etc/services", "/etc/protocols", "/etc/localtime", "/etc/ld.so.cache", "/etc/mime.types"),
    # What resolv.conf is a link to, where the machine's resolver writes it.
    *("/run/systemd/resolve", "/run/resolvconf"),
)
_AUTHORITIES: Final = (
    # Not the folders above them, where others keep private keys.
    *("/etc/ssl/certs", "/etc/ssl/cert.pem", "/etc/ssl/ca-bundle.pem", "/etc/ssl/openssl.cnf"),
    *("/etc/pki/tls/certs", "/etc/pki/tls/cert.pem", "/etc/pki/tls/openssl.cnf", "/etc/pki/ca-trust"),
    *("/etc/ca-certificates", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates"),
)
_LIBRARIES: Final = (
    *("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share/zoneinfo"),
    *("/dev/urandom", "/dev/random", "/dev/zero"),
)


class Wanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a host shall be confined. ``reads`` and ``writes`` are what the operator named, beside what all hosts need.

    ``account`` is a uid of its own, 0 for none. ``ports``: see ``landlock.restrict``.
    """

    reads: list[str] = []
    writes: list[str] = []
    ports: list[int] = []
    memory_mib: int = 1024
    account: int = 0
    landlock: bool = True


class Confined(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a host came to: ABI of Landlock (0: none), its own uid (0: none), whether its system calls are filtered."""

    landlock: int
    account: int
    filtered: bool

    @property
    def holds(self) -> bool:
        """Whether a plugin is kept from files that are not its own: the plugin row of the trust table."""
        return self.landlock > 0 or self.account > 0


def die_with(parent: int) -> None:
    """This process is killed as soon as the thread that started it is gone."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it was gone before the wish was heard
        os._exit(1)


def confine(wanted: Wanted) -> Confined:
    """This process can no longer do what a plugin must not. Call before the first other thread, and once.

    Raises:
        OSError: the kernel refused a restriction that it has. The process must not go on.
        Permanent: as ``harden``.
    """
    _bound(wanted)
    parent = os.getppid()
    account = _become(wanted.account) if wanted.account and os.geteuid() == 0 else 0
    if account == 0 and os.geteuid() == 0:
        _drop_capabilities()
    die_with(parent)  # a change of account took the wish away
    harden()
    reads = [*readable(), *map(Path, wanted.reads)]
    landlock = (
        restrict(reads, [Path("/dev/null"), *map(Path, wanted.writes)], wanted.ports)
        if wanted.landlock
        else 0
    )
    filtered = filter_calls(unix_sockets=any(_is_socket(Path(each)) for each in wanted.reads))
    return Confined(landlock=landlock, account=account, filtered=filtered)


def readable() -> Iterator[Path]:
    """What any host needs: interpreter, installed packages, system libraries, authorities, names."""
    yield from map(Path, (*_LIBRARIES, *_AUTHORITIES, *_NAMES))
    authorities = ssl.get_default_verify_paths()
    yield from (Path(authorities.openssl_cafile), Path(authorities.openssl_capath))
    for name in ("stdlib", "platstdlib", "purelib", "platlib"):
        yield Path(sysconfig.get_path(name))
    for folder in (*site.getsitepackages(), *sys.path):
        if folder:
            yield Path(folder)
    yield Path(sys.executable).resolve()
    yield Path(sys.prefix, "pyvenv.cfg")


def _bound(wanted: Wanted) -> None:
    """Memory, files and a first place when the machine runs out of memory."""
    size = wanted.memory_mib * 2**20
    resource.setrlimit(resource.RLIMIT_DATA, (size, size))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))
    if not wanted.writes:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    with suppress(OSError):  # a container may forbid it; the bound above holds all the same
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _become(account: int) -> int:
    """The uid that this process has now, which is its own; 0 where it cannot be had, or could not read its own code."""
    if not all(_open_to_all(Path(each)) for each in (sysconfig.get_path("stdlib"), *sys.path) if each):
        return 0
    try:
        os.setgroups([])
        os.setresgid(account, account, account)
        os.setresuid(account, account, account)
    except OSError:  # the uid is not mapped in this container
        if os.geteuid() == account:
            raise
        return 0
    return account


def _drop_capabilities() -> None:
    """Root by name only: what its uid owns, and none of its powers."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(_LAST_CAPABILITY + 1):
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    libc.prctl(_PR_CAP_AMBIENT, _CLEAR_ALL, 0, 0, 0)
    if libc.capset(struct.pack("=Ii", _CAPABILITIES_VERSION, 0), bytes(24)) != 0:
        raise OSError(ctypes.get_errno(), "the kernel did not take root's capabilities away")


def _open_to_all(path: Path) -> bool:
    """Whether any uid gets there. A path that is not there hides nothing."""
    found = path.resolve()
    try:
        if found.exists() and not found.stat().st_mode & stat.S_IROTH:
            return False
        return all(each.stat().st_mode & stat.S_IXOTH for each in found.parents if each.exists())
    except PermissionError:
        return False


def _is_socket(path: Path) -> bool:
    try:
        return stat.S_ISSOCK(path.stat().st_mode)
    except OSError:
        return False


def uids(process: int, count: int = 64) -> Iterable[int]:
    """Uids for the hosts of this crypto process alone, above all that distributions and systemd give away."""
    first = 1_879_048_192 + (process % 2**22) * count
    return range(first, first + count)


def account_for(process: int, taken: Iterable[int] = (), *, landlock: bool = True) -> int:
    """A uid for the next host of this crypto process, where it is root and Landlock is not to be had; else 0."""
    if (landlock and landlock_abi() > 0) or os.geteuid() != 0:
        return 0
    used = set(taken)
    return next((uid for uid in uids(process) if uid not in used), 0)


if __name__ == "__main__":
    try:
        found = confine(Wanted(account=account_for(os.getpid())))
    except OSError as refused:
        sys.exit(str(refused))
    sys.stdout.write(msgspec.json.encode(found).decode())
