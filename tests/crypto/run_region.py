"""One region as a process of its own: settings as JSON on stdin, a line with ``started`` on stdout."""

from __future__ import annotations

import asyncio
import sys

import msgspec
import uvloop

from openkcm.crypto.app import serve_crypto
from openkcm.crypto.settings import CryptoSettings
from openkcm.kernel.log import configure_logging
from openkcm.parties.settings import PartiesSettings
from openkcm.sdk.refusals import Refused


class Given(msgspec.Struct):
    crypto: CryptoSettings
    parties: PartiesSettings
    plugins: dict[str, dict[str, str]] = {}


def main() -> int:
    given = msgspec.json.decode(sys.stdin.readline(), type=Given)
    configure_logging(process="crypto")
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(
                serve_crypto(
                    given.crypto,
                    given.parties,
                    given.plugins,
                    started=lambda: print("started", flush=True),
                )
            )
    except Refused as refused:
        print(refused.refusal, refused.message, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
