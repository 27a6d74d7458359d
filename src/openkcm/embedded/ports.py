"""A free port for a door: the default one, or the next that is free, and a sentence that says so."""

from __future__ import annotations

import errno
import socket
from collections.abc import Collection
from dataclasses import dataclass, field

from openkcm.sdk.refusals import Permanent, Refusal, Remedy

_LOCAL = "127.0.0.1"
_TRIES = 200
_HIGHEST = 65_535


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A port that was free a moment ago. While ``claim`` is open, no other start of OpenKCM takes or tries it."""

    door: str
    number: int
    wanted: int
    claim: socket.socket = field(repr=False, compare=False)

    @property
    def note(self) -> str:
        """What to tell the person at the terminal; empty if they got the usual port."""
        if self.number == self.wanted:
            return ""
        return f"Port {self.wanted} is taken; {self.door} is on {self.number}."


def pick_port(door: str, wanted: int, *, taken: Collection[int] = (), host: str = _LOCAL) -> Port:
    """The wanted port, or the next higher one that is free and not in ``taken`` (given to another door of ours).

    Raises:
        Refused: PORT_TAKEN when none of the next 200 is free; START_FAILED where this machine cannot reach itself.
    """
    _check_loopback(host)
    for number in range(wanted, min(wanted + _TRIES, _HIGHEST + 1)):
        claim = None if number in taken else _claim(number)
        if claim is None:
            continue
        if is_free(number, host=host):
            return Port(door=door, number=number, wanted=wanted, claim=claim)
        claim.close()
    raise Permanent(
        Refusal.PORT_TAKEN,
        f"No port for {door} is free on {host} from {wanted} on.",
        remedy=Remedy("End what listens there, or set another port.", "operator", "reference/settings"),
    )


def _check_loopback(host: str) -> None:
    """An address of this machine that cannot be reached from it looks like servers that never get ready."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((host, 9))  # sends nothing: the kernel only looks for a way
        except OSError as down:
            raise Permanent(
                Refusal.START_FAILED,
                f"This machine cannot reach itself at {host}: its loopback interface is down.",
                remedy=Remedy(
                    "Bring it up (ip link set lo up); a new network namespace starts without it.",
                    "operator",
                    "howto/embedded",
                ),
            ) from down


def _claim(number: int) -> socket.socket | None:
    """A claim to the port among starts of OpenKCM, for as long as the socket is open; None where another has it.

    Between choosing a port and listening at it lie seconds in which databases start. The name is an abstract one: it
    is as wide as the port (a network namespace), and the kernel takes it back however we end. Source: unix(7).
    """
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        claim.bind(f"\0openkcm-port-{number}")
    except OSError:
        claim.close()
        return None
    return claim


def is_free(number: int, *, host: str = _LOCAL) -> bool:
    """Whether a server could listen there now; ports left in TIME_WAIT count as free, as they do for servers."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, number))
            probe.listen(1)
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True
