"""Who is who: the public parts of parties, as the operator placed them. Nothing here is read from a wire or database.

What a standing allows:

| standing | its connections | its signatures on what arrives | its signatures on what is stored |
|---|---|---|---|
| ``signs-now`` | yes | yes | yes |
| ``accepted-until DATE``, that day (UTC) included | yes | yes | yes |
| the same, afterwards | no | no | yes |
| ``old-signatures`` | no | no | yes |
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from hashlib import sha256
from typing import Literal

from openkcm.parties.labels import FINGERPRINT, Kind
from openkcm.sdk.refusals import Permanent, Refusal, Remedy
from openkcm_client.enc import enc

Standing = Literal["signs-now", "accepted-until", "old-signatures"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """The public part of one version of a party. ``until`` is set for ``accepted-until`` alone."""

    kind: Kind
    name: str
    serial: int
    signing: bytes
    sealing: bytes
    tls_certificate: bytes
    standing: Standing = "signs-now"
    until: date | None = None

    @property
    def tls_sha256(self) -> bytes:
        """What the certificate of this party's connections hashes to."""
        return sha256(self.tls_certificate).digest()

    @property
    def fingerprint(self) -> str:
        """One number over all that is pinned, to be compared by people: eight groups of eight hex digits."""
        digest = sha256(
            enc(
                FINGERPRINT,
                self.kind,
                self.name,
                self.serial,
                self.signing,
                self.sealing,
                self.tls_certificate,
            )
        ).hexdigest()
        return " ".join(digest[at : at + 8] for at in range(0, 64, 8))

    def accepted(self, *, now: datetime) -> bool:
        """Whether this party may connect, and sign what is new."""
        if self.until is not None:
            return now.astimezone(UTC).date() <= self.until
        return self.standing == "signs-now"

    def __str__(self) -> str:
        return f"{self.kind} {self.name} (key {self.serial})"


class Pins:
    """The parties that this process knows. Immutable: a change of settings makes another one.

    Raises:
        Permanent: PIN_INVALID; two pins share (kind, name, serial), a key or a certificate, or two of one party
            sign now.
    """

    __slots__ = ("_all", "_by_leaf", "_by_version", "_current")

    def __init__(self, pins: Iterable[Pin]) -> None:
        self._all = tuple(pins)
        self._by_version = self._unique(lambda pin: (pin.kind, pin.name, pin.serial), "kind, name and serial")
        self._by_leaf = self._unique(lambda pin: pin.tls_sha256, "TLS certificate")
        self._unique(lambda pin: pin.signing, "signing key")
        self._unique(lambda pin: pin.sealing, "sealing key")
        self._current: dict[tuple[str, str], Pin] = {}
        for pin in self._all:
            if pin.standing == "signs-now" and self._current.setdefault((pin.kind, pin.name), pin) is not pin:
                raise _invalid(f"{pin} and {self._current[pin.kind, pin.name]} both say signs-now")

    def __iter__(self) -> Iterator[Pin]:
        return iter(self._all)

    def by_leaf(self, tls_sha256: bytes, *, now: datetime) -> Pin | None:
        """The party whose connection shows a certificate with this hash, if it may connect now."""
        pin = self._by_leaf.get(tls_sha256)
        return pin if pin is not None and pin.accepted(now=now) else None

    def current(self, kind: Kind, name: str) -> Pin:
        """The version of a party that signs now and to which things are sealed.

        Raises:
            Permanent: PARTY_UNKNOWN; no pin of that kind and name signs now.
        """
        pin = self._current.get((kind, name))
        if pin is None:
            raise Permanent(
                Refusal.PARTY_UNKNOWN,
                f"no pin says that {kind} {name} signs now",
                remedy=Remedy(
                    "Add this party's pin to the settings file.", "operator", "reference/trust-domains#pins"
                ),
            )
        return pin

    def names(self, kind: Kind) -> tuple[str, ...]:
        """The names of that kind's parties that sign now, in order."""
        return tuple(sorted(name for of, name in self._current if of == kind))

    def by_version(self, kind: str, name: str, serial: int) -> Pin | None:
        """The very version of a party that a signature names, whatever its standing."""
        return self._by_version.get((kind, name, serial))

    def _unique(self, key: Callable[[Pin], Hashable], what: str) -> dict[Hashable, Pin]:
        found: dict[Hashable, Pin] = {}
        for pin in self._all:
            first = found.setdefault(key(pin), pin)
            if first is not pin:
                raise _invalid(f"{first} and {pin} have the same {what}")
        return found


def _invalid(why: str) -> Permanent:
    remedy = Remedy("Correct the pins in the settings file.", "operator", "reference/trust-domains#pins")
    return Permanent(Refusal.PIN_INVALID, why, remedy=remedy)
