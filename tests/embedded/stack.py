"""The embedded stack as a program of its own, for tests that kill it: ``stack.py STATE RUN [CHILD SOURCE]``."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from openkcm.embedded.databases import prepare_databases
from openkcm.embedded.postgres import RunningPostgres
from openkcm.embedded.roles import DatabasePlan
from openkcm.embedded.services import ChildSpec, PostgresService, ValkeyService
from openkcm.embedded.supervise import Supervisor
from openkcm.embedded.watched import RestartPolicy
from openkcm.sdk.refusals import Refused

POLICY = RestartPolicy(most=2, first_pause_s=0.05, longest_pause_s=0.1)
SLEEPER = "import pathlib, sys, time; pathlib.Path(sys.argv[1]).touch(); time.sleep(1000)"


def say(words: str) -> None:
    print(words, flush=True)


def when(path: Path) -> Callable[[], Awaitable[bool]]:
    async def there() -> bool:
        return path.exists()

    return there


async def main(state: Path, run: Path, source: str = SLEEPER) -> None:
    async with Supervisor(state, report=say, policy=POLICY) as supervisor:
        postgres = await supervisor.start(PostgresService(state=state, run=run))
        assert isinstance(postgres, RunningPostgres)
        await supervisor.unless_stopped(
            prepare_databases(
                postgres.server, DatabasePlan(regions=("local",)), secrets_file=state / "databases.json"
            )
        )
        await supervisor.start(ValkeyService(state=state, run=run))
        mark = state / "logs" / "child.mark"
        mark.unlink(missing_ok=True)
        child = ChildSpec(
            name="child",
            argv=(sys.executable, "-c", source, str(mark)),
            log=state / "logs" / "child.log",
            ready_check=when(mark),
            env={"GIVEN": "by name"},
            ready_within_s=10,
            grace_s=0.5,
        )
        await supervisor.start(child)
        supervisor.publish({"web": "http://127.0.0.1:8080"})
        say("ready")
        await supervisor.until_stopped()
    say("stopped")


if __name__ == "__main__":
    try:
        asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:]))
    except Refused as refused:
        print(f"{refused.refusal}: {refused}", file=sys.stderr)
        sys.exit(1)
