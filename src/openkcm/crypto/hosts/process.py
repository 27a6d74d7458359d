"""A key-store host: ``python -m openkcm.crypto.hosts.process PARENT``, started by a crypto process and by nobody else.

It has one descriptor, the socket on its standard input; it confines itself, loads one plugin and answers calls until
the socket ends.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys

from openkcm.catalog.hooks import PluginBroken
from openkcm.catalog.load import load_key_store
from openkcm.catalog.registry import Installed
from openkcm.crypto.hosts.confine import Confined, confine, die_with
from openkcm.crypto.hosts.serve import Serving
from openkcm.crypto.hosts.wire import (
    LENGTH_BYTES,
    MAX_FROM_HOST,
    MAX_TO_HOST,
    MAX_WORDS,
    Hello,
    NotLoaded,
    SaidAnswer,
    frame,
    read_start,
)
from openkcm.sdk.key_store import Declaration, KeyStorePlugin


def main() -> None:
    """The process of one host, from its first instruction to its last."""
    die_with(int(sys.argv[1]))
    channel = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    start = read_start(_whole(channel, int.from_bytes(_whole(channel, LENGTH_BYTES), "big")))
    confined = confine(start.wanted)
    sys.path += start.paths
    try:
        plugin = load_key_store(
            Installed(name=start.plugin, module=start.module, distribution="", version=""), start.settings
        )
        hello: Hello | NotLoaded = _hello(plugin.declaration, confined)
    except (PluginBroken, AttributeError, TypeError, ValueError):
        channel.sendall(frame(NotLoaded(confined=confined), limit=MAX_FROM_HOST))
        return
    channel.sendall(frame(hello, limit=MAX_FROM_HOST))
    asyncio.run(_serve(channel, plugin))
    os._exit(0)  # threads of a vendor's SDK do not keep it


async def _serve(channel: socket.socket, plugin: KeyStorePlugin) -> None:
    reader, writer = await asyncio.open_unix_connection(sock=channel, limit=MAX_TO_HOST)
    await Serving(plugin, writer).until_the_end(reader)


def _whole(channel: socket.socket, size: int) -> bytes:
    if not 0 < size <= MAX_TO_HOST:
        sys.exit(1)
    parts = bytearray()
    while len(parts) < size:
        part = channel.recv(size - len(parts))
        if not part:
            sys.exit(1)
        parts += part
    return bytes(parts)


def _hello(declared: Declaration, confined: Confined) -> Hello:
    return Hello(
        confined=confined,
        name=declared.name,
        answers=[
            SaidAnswer(
                code=each.code,
                outage=each.outage,
                says=each.says[:MAX_WORDS],
                action=each.remedy.action[:MAX_WORDS],
                who=each.remedy.who[:MAX_WORDS],
                reference=each.remedy.reference[:MAX_WORDS],
            )
            for each in declared.answers
        ],
        wrappings=list(declared.wrappings),
        call_s=float(declared.call_s),
        apart=declared.apart,
    )


if __name__ == "__main__":
    main()
