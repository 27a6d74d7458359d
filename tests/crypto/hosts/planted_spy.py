"""What a hostile check tries, from within a host."""

from __future__ import annotations

import ctypes
import fcntl
import importlib
import mmap
import os
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from openkcm.sdk.key_store import Finding


def look_at_memory(pid: str) -> str:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(16, int(pid), 0, 0) == 0:  # PTRACE_ATTACH
        return "attached"
    raise PermissionError


def copy_memory(pid: str) -> str:
    class Part(ctypes.Structure):
        _fields_ = (("at", ctypes.c_void_p), ("size", ctypes.c_size_t))

    libc, room = ctypes.CDLL(None, use_errno=True), ctypes.create_string_buffer(8)
    ours, theirs = Part(ctypes.addressof(room), 8), Part(id(None), 8)
    if libc.process_vm_readv(int(pid), ctypes.byref(ours), 1, ctypes.byref(theirs), 1, 0) >= 0:
        return "read"
    if ctypes.get_errno() == 14:  # EFAULT: it was let in, and that address is another process's
        return "let in"
    raise PermissionError


def connect(path: str) -> str:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
    return "connected"


def connect_to(port: str) -> str:
    with socket.create_connection(("127.0.0.1", int(port)), timeout=2):
        return "connected"


def bind(_nothing: str) -> str:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
    return "bound"


def write(path: str) -> str:
    Path(path).write_text("was here", encoding="utf-8")
    return "written"


def fork(_nothing: str) -> str:
    if os.fork() == 0:
        os._exit(0)
    return "forked"


def execute(_nothing: str) -> str:
    os.execv("/bin/true", ["true"])  # noqa: S606 - this is what must not work


def signal_to(pid: str) -> str:
    os.kill(int(pid), 0)
    return "signalled"


def let_descriptor_signal(pid: str) -> str:
    """A signal of any number, as soon as something comes over a socket of its own."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        fcntl.fcntl(ours, fcntl.F_SETOWN, int(pid))
    return "let it"


def let_socket_signal(pid: str) -> str:
    """The same by the way of other systems."""
    with socket.socket() as ours:
        fcntl.ioctl(ours, 0x8902, int(pid).to_bytes(4, sys.byteorder))  # SIOCSPGRP
    return "let it"


def slow_down(pid: str) -> str:
    """As it is already, so that nobody is slowed down where it works."""
    os.setpriority(os.PRIO_PROCESS, int(pid), os.getpriority(os.PRIO_PROCESS, int(pid)))
    return "slowed down"


def reschedule(pid: str) -> str:
    os.sched_setscheduler(int(pid), os.SCHED_OTHER, os.sched_param(0))
    return "rescheduled"


def pin_down(pid: str) -> str:
    os.sched_setaffinity(int(pid), os.sched_getaffinity(int(pid)))
    return "pinned down"


def share_memory(_nothing: str) -> str:
    """Memory that no limit of the process counts."""
    with mmap.mmap(-1, 2**20):
        return "shared"


def keep_memory(_nothing: str) -> str:
    """Memory that outlives the process."""
    libc = ctypes.CDLL(None, use_errno=True)
    segment = libc.shmget(0, 2**20, 0o1600)  # IPC_PRIVATE, IPC_CREAT
    if segment < 0:
        raise OSError(ctypes.get_errno(), "refused")
    libc.shmctl(segment, 0, None)
    return "kept"


def keep_messages(_nothing: str) -> str:
    """The same in a queue, of which there may be thousands."""
    libc = ctypes.CDLL(None, use_errno=True)
    queue = libc.msgget(0, 0o1600)  # IPC_PRIVATE, IPC_CREAT
    if queue < 0:
        raise OSError(ctypes.get_errno(), "refused")
    libc.msgctl(queue, 0, None)
    return "kept"


def keep_semaphores(_nothing: str) -> str:
    libc = ctypes.CDLL(None, use_errno=True)
    made = libc.semget(0, 32_000, 0o1600)
    if made < 0:
        raise OSError(ctypes.get_errno(), "refused")
    libc.semctl(made, 0, 0)
    return "kept"


def descriptors(_nothing: str) -> str:
    """Anything open but the host's own: /dev/null, the socket, and what its loop made."""
    found = []
    for number in range(256):
        try:
            kind = os.fstat(number).st_mode & 0o170000
        except OSError:
            continue
        if kind in {0o100000, 0o040000, 0o010000}:  # a file, a folder, a pipe
            found.append(number)
    if not found:
        raise PermissionError
    return str(found)


def environment(_nothing: str) -> str:
    found = {**os.environ}
    for known in ("LANG", "HOME", "PATH", "LC_CTYPE"):
        found.pop(known, None)
    if not found and len(sys.argv) <= 2:
        raise PermissionError
    return "found"


def authorities(_nothing: str) -> str:
    folder = Path(ssl.get_default_verify_paths().openssl_capath)
    for each in folder.iterdir():
        if each.is_file():
            each.read_bytes()
    ssl.create_default_context()
    return "read"


def resolve(_nothing: str) -> str:
    return str(socket.getaddrinfo("localhost", 443)[0][4][0])


def start_thread(_nothing: str) -> str:
    heard: list[str] = []
    thread = threading.Thread(target=heard.append, args=("ran",))
    thread.start()
    thread.join()
    return heard[0]


NEEDED: dict[str, Callable[[str], str]] = {
    "authorities": authorities,
    "resolve": resolve,
    "import": lambda _nothing: importlib.import_module("xml.dom.minidom").__name__,
    "thread": start_thread,
}
ATTEMPTS: dict[str, tuple[str, Callable[[str], str]]] = {
    "read-root": ("root", lambda path: Path(path).read_text(encoding="utf-8")),
    "read-identity": ("identity", lambda path: Path(path).read_text(encoding="utf-8")),
    "list-state": ("state", lambda path: str(list(Path(path).iterdir()))),
    "write-state": ("new_file", write),
    "write-temporary": ("temporary", write),
    "connect-database": ("database", connect),
    "connect-abstract": ("abstract", lambda name: connect("\0" + name)),
    "parent-environment": ("parent", lambda pid: Path(f"/proc/{pid}/environ").read_text(encoding="utf-8")),
    "parent-memory": ("parent", lambda pid: str(os.open(f"/proc/{pid}/mem", os.O_RDONLY))),
    "parent-descriptors": ("parent", lambda pid: str(list(Path(f"/proc/{pid}/fd").iterdir()))),
    "parent-trace": ("parent", look_at_memory),
    "parent-copy": ("parent", copy_memory),
    "parent-signal": ("parent", signal_to),
    "parent-signal-by-descriptor": ("parent", let_descriptor_signal),
    "parent-signal-by-socket": ("parent", let_socket_signal),
    "parent-slowed": ("parent", slow_down),
    "parent-rescheduled": ("parent", reschedule),
    "parent-pinned": ("parent", pin_down),
    "shared-memory": ("", share_memory),
    "kept-memory": ("", keep_memory),
    "kept-messages": ("", keep_messages),
    "kept-semaphores": ("", keep_semaphores),
    "sibling-memory": ("sibling", lambda pid: str(os.open(f"/proc/{pid}/mem", os.O_RDONLY))),
    "sibling-trace": ("sibling", look_at_memory),
    "sibling-copy": ("sibling", copy_memory),
    "sibling-signal": ("sibling", signal_to),
    "sibling-arguments": ("sibling", lambda pid: str(os.open(f"/proc/{pid}/fd/0", os.O_RDONLY))),
    "connect-port": ("port", connect_to),
    "connect-other-port": ("other_port", connect_to),
    "bind-port": ("", bind),
    "fork": ("", fork),
    "execute": ("", execute),
    "inherited-descriptors": ("", descriptors),
    "inherited-environment": ("", environment),
    **{f"needed-{name}": ("", act) for name, act in NEEDED.items()},
    "read-granted": ("granted", lambda path: Path(path).read_text(encoding="utf-8")),
}


def attempt(name: str, targets: Mapping[str, str]) -> Finding:
    """What came of it: ``bad`` is what was found, ``ok`` is that the machine refused."""
    target, tried = ATTEMPTS[name]
    if target and target not in targets:
        return Finding(level="warn", code=name, said="not tried")
    try:
        said = tried(targets.get(target, ""))
    except OSError as refused:
        return Finding(level="ok", code=name, said=f"refused {type(refused).__name__}")
    return Finding(level="bad", code=name, said=said)
