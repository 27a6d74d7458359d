"""A process that kills itself at every write boundary of a lease store in turn, and tells what was left each time.

``python -m tests.crypto.lease_victim FOLDER OPERATION`` prints one JSON list: an object for each boundary.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from openkcm.crypto.leases import HOUR_S, LeaseStore
from openkcm.crypto.place import open_place
from tests.crypto.disk import KEY, L2, ROOT, lease

CALLS = ("open", "write", "fsync", "replace", "rename", "unlink", "close")
OPERATIONS: dict[str, Callable[[LeaseStore], None]] = {
    "issue": lambda store: store.issue([lease(seconds=HOUR_S)]),
    "revoke": lambda store: store.revoke(["acme"], (1, 1, 2)),
    "drop": lambda store: store.drop([KEY]),
}


def die_at(number: int) -> None:
    """The process ends by SIGKILL right before its call of this number, counted from now."""
    left = [number]

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*given: Any, **named: Any) -> Any:  # noqa: ANN401 - as the call has it
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
            return call(*given, **named)

        return wrapped

    for name in CALLS:
        setattr(os, name, counted(getattr(os, name)))


def attempt(folder: Path, operation: str, number: int) -> dict[str, object]:
    """A lease of the hour before is there; the operation is killed at its boundary; what a restart finds."""
    child = os.fork()
    if child == 0:
        place = open_place(folder, host=b"host")
        store = LeaseStore(place, ROOT)
        store.load({})
        store.issue([lease()])
        die_at(number)
        OPERATIONS[operation](store)
        os._exit(0)
    returned = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    place = open_place(folder, host=b"host")
    store = LeaseStore(place, ROOT)
    store.load({})
    found = store.open(KEY)
    kept = store.kept(KEY)
    names = sorted(path.name for path in folder.iterdir() if path.name != "place")
    place.close()
    return {
        "returned": returned,
        "opens": found is not None and found[0] == L2,
        "hour": kept.hour - lease().hour if kept else None,
        "refused": [str(why) for why in store.refused.values()],
        "files": len(names),
    }


def main(folder: str, operation: str) -> None:
    results = []
    for number in range(200):
        results.append(attempt(Path(folder) / str(number), operation, number))
        if results[-1]["returned"]:
            break
    print(json.dumps(results))


if __name__ == "__main__":
    main(*sys.argv[1:])
