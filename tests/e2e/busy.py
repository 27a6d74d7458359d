"""An application at work while something is done to its keys."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from openkcm_client import Bounds, Client

_PAUSE_S = 0.005
_FEW_MESSAGES = 8
"""Under one data key: the next one is asked for all the time."""


@dataclass
class Busy:
    """One client that encrypts and decrypts, record after record, until it is stopped or something fails."""

    client: Client
    messages: list[bytes] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    _done: threading.Event = field(default_factory=threading.Event)

    def work(self) -> None:
        number = 0
        while not self.failures and not self._done.wait(_PAUSE_S):
            record = f"record {number}".encode()
            try:
                message = self.client.encrypt(record)
                if self.client.decrypt(message) != record:
                    raise AssertionError(f"record {number} came back changed")
            except Exception as failed:  # noqa: BLE001 - whatever an application would have seen
                self.failures.append(failed)
                return
            self.messages.append(message)
            number += 1

    def stop(self) -> None:
        self._done.set()


@contextmanager
def busy(address: str, token: str, tenant: str) -> Iterator[Sequence[Busy]]:
    """Two applications at work: one with leased data keys, one that has the region do it all."""
    with ExitStack() as stack:
        clients = [
            stack.enter_context(
                Client(
                    address,
                    tenant=tenant,
                    credentials=token,
                    local=local,
                    bounds=Bounds(max_messages=_FEW_MESSAGES),
                )
            )
            for local in (True, False)
        ]
        found = [Busy(client) for client in clients]
        threads = [threading.Thread(target=each.work) for each in found]
        for thread in threads:
            thread.start()
        try:
            yield found
        finally:
            for each in found:
                each.stop()
            for thread in threads:
                thread.join()
