"""The choice for an outage in plain words: what each one means, and what each way is along which a stop travels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from openkcm.crypto.contract import Choice


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceWords:
    """One choice: what happens while the key store is silent, at a restart, and who could read data meanwhile."""

    choice: str
    title: str
    short: str
    silent: str
    restart: str
    readers: str
    usual: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WayWords:
    """One way that a stop travels; what its length is while both ends hear each other, and while they do not."""

    title: str
    connected: str
    cut_off: str


#: In the order of a page: what goes on for longest first.
CHOICES: Final = (
    ChoiceWords(
        choice=Choice.LEASE,
        title="Lease",
        short="Your applications go on, also across restarts.",
        silent="They encrypt and decrypt for up to 24 h, then everything stops.",
        restart="It goes on: your tenant key is kept sealed on the region’s disk.",
        readers="For up to 24 h the platform’s operator could read your data without asking your key store.",
        usual="Usual for a key in your cloud (BYOK).",
    ),
    ChoiceWords(
        choice=Choice.MEMORY_ONLY,
        title="Memory only",
        short="Your applications go on as long as a region’s process lives.",
        silent="They encrypt and decrypt for up to 1 h, then everything stops.",
        restart="That process stops until your key store answers: nothing is kept on a disk.",
        readers="For up to 1 h the platform’s operator could read your data, out of a running process’s memory.",
        usual="Usual for a key in your own place (HYOK).",
    ),
    ChoiceWords(
        choice=Choice.FAIL_CLOSED,
        title="Fail closed",
        short="Everything stops when your key store does not answer.",
        silent="The first probe without an answer stops them, within 25 s.",
        restart="Everything is stopped already.",
        readers="Nobody, once it has stopped: nothing opens without your key store.",
        usual="For data that had better be unreachable than be read unasked.",
    ),
)
#: By the way’s name in ``WorstCase``.
WAYS: Final[Mapping[str, WayWords]] = MappingProxyType(
    {
        "key-store": WayWords(
            title="Your act at the root key → a region",
            connected="The probe that meets it, and a second one that proves it",
            cut_off="Your outage window",
        ),
        "control": WayWords(
            title="A decision in OpenKCM → a region",
            connected="It is sent at once",
            cut_off="The governance window",
        ),
        "database": WayWords(
            title="A region’s database → each of its processes",
            connected="It is looked at every second",
            cut_off="A key that is not confirmed is not used",
        ),
        "encrypting": WayWords(
            title="A region → an application that encrypts",
            connected="It asks again at half the life of its lease",
            cut_off="The life of that lease",
        ),
        "decrypting": WayWords(
            title="A region → an application that decrypts",
            connected="It asks again at half the life of its lease; a key it encrypted with ends with its own lease",
            cut_off="The life of that lease",
        ),
    }
)
