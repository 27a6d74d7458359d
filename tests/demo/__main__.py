"""``python -m tests.demo``: the whole product on this machine, playing its stories; run by ``nox -s demo``."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from openkcm.embedded.account import is_system_root
from tests.demo.enable import READY_AIM_S, Enable
from tests.demo.failed import DemoFailed, DemoStopped
from tests.demo.place import CLONE, Place, usual_place
from tests.demo.post import Post
from tests.demo.product import COMMAND, Product, end_with_parent
from tests.demo.show import Show, usual_show

_T = TypeVar("_T")
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line asks for."""

    once: bool
    json: Path | None
    place: Place


class Demo:
    """Starts the product, plays the stories, stays up, leaves nothing."""

    def __init__(self, wish: Wish, show: Show) -> None:
        self._wish = wish
        self._show = show
        self._stop = asyncio.Event()
        self._up_s: float | None = None
        self._enable: Enable | None = None
        self._problem = ""
        self._invited = False

    async def run(self) -> int:
        """The exit status: 0 when all stories came true and nothing was left behind."""
        for which in _SIGNALS:
            if signal.getsignal(which) is not signal.SIG_IGN:  # nohup means it
                asyncio.get_running_loop().add_signal_handler(which, self._asked)
        try:
            await self._run()
        except DemoStopped:
            pass  # asked for: what was not played is judged below
        except DemoFailed as failed:
            self._fail(str(failed))
        except Exception as defect:  # noqa: BLE001 - whatever it is, it is told, and the result is written
            self._fail(f"{type(defect).__name__}: {defect}")
        played = self._enable is not None and self._enable.outcome.ok
        if self._wish.once and not played and not self._problem:
            self._fail("The demo was stopped before its stories ended.")
        self._write(ok=played and not self._problem)
        if self._problem:
            self._show.say(f"\nThe demo failed. {self._problem}")
        return 1 if self._problem else 0

    async def _run(self) -> None:
        place = self._wish.place
        reused = place.used_before
        place.manifests.mkdir(mode=0o755, parents=True, exist_ok=True)
        if is_system_root():
            place.state.chmod(0o711)  # PostgreSQL runs as `nobody` then, and passes through here
        self._show.say(f"OpenKCM demo. Its data: {place.state}")
        if reused:
            count = len(place.accounts())
            accounts = "1 account" if count == 1 else f"{count} accounts"
            self._show.say(f"The data of an earlier run is used again: {accounts}.")
        post = Post(place.authority)
        await post.open()
        product = Product(place, post.settings(), hear=self._show.heard)
        try:
            await self._with(product, post)
        finally:
            self._show.say("\nStopping …")
            left = await product.stop()
            await post.close()
            place.authority.unlink(missing_ok=True)
            if self._invited:
                place.link.unlink(missing_ok=True)
            if left:
                self._fail("Left behind: " + "; ".join(left))
            else:
                self._show.say("Stopped; nothing was left running.")

    async def _with(self, product: Product, post: Post) -> None:
        self._show.say("Starting the whole product: openkcm up")
        self._up_s = await self._unless_stopped(product.start(), product)
        self._show.say(f"Up after {self._up_s:.1f} s: {product.web}\n")
        self._enable = Enable(product, post, self._wish.place, self._show)
        await self._unless_stopped(self._enable.play(), product)
        seconds = self._enable.outcome.seconds or 0.0
        self._show.say(f"\nReady, and told, {seconds:.2f} s after the manifest (aim: {READY_AIM_S:.0f} s).")
        if not self._wish.once:
            await self._invite(product, self._enable)
            await self._unless_stopped(asyncio.Event().wait(), product)

    async def _invite(self, product: Product, enable: Enable) -> None:
        account = enable.outcome.account
        assert account is not None
        self._invited = True
        link = await self._unless_stopped(product.sign_in_link(account.uid), product)
        if sys.stdout.isatty():
            self._show.say(f"\nSign in as {account.creator} (works once, for 10 min):\n  {link}")
        else:
            file = self._wish.place.link
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
                out.write(f"{link}\n")
            self._show.say(
                f"\nThe link to sign in as {account.creator} (works once, for 10 min) is in {file}"
            )
        self._show.say(
            f"Another: {' '.join(COMMAND)} tenants sign-in {account.uid} --state {self._wish.place.state}"
        )
        self._show.say("Everything stays up until Ctrl-C.")

    async def _unless_stopped(self, work: Coroutine[object, object, _T], product: Product) -> _T:
        """The work's result, unless the product ends by itself or somebody asks for a stop first."""
        task, stop, ended = (
            asyncio.ensure_future(work),
            asyncio.ensure_future(self._stop.wait()),
            asyncio.ensure_future(product.ended()),
        )
        try:
            await asyncio.wait((task, stop, ended), return_when=asyncio.FIRST_COMPLETED)
            if stop.done():
                raise DemoStopped
            if ended.done() and not task.done():
                ended.result()
            return task.result()
        finally:
            for each in (task, stop, ended):
                each.cancel()
            await asyncio.gather(task, stop, ended, return_exceptions=True)

    def _fail(self, why: str) -> None:
        self._problem = f"{why}\n{self._problem}".strip()

    def _asked(self) -> None:
        if self._stop.is_set():
            self._show.say("Still stopping; nothing will be left behind.")
        self._stop.set()

    def _write(self, *, ok: bool) -> None:
        if self._wish.json is None:
            return
        enable = self._enable.outcome if self._enable else None
        content: dict[str, object] = {
            "ok": ok,
            "up": {"seconds": None if self._up_s is None else round(self._up_s, 3)},
            "stories": {
                "enable": enable.as_json() if enable else {"ok": False, "seconds": None, "steps": []}
            },
        }
        if self._problem:
            content["problem"] = self._problem
        hidden = self._wish.json.with_name(f".{self._wish.json.name}.tmp")
        hidden.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        hidden.replace(self._wish.json)


def wish(arguments: Sequence[str]) -> Wish:
    """What the arguments ask for; wrong ones end with status 2 and say why."""
    parser = argparse.ArgumentParser(prog="nox -s demo --", description="The product at work, live.")
    parser.add_argument("--once", action="store_true", help="end after the stories")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was measured")
    parser.add_argument("--state", type=Path, metavar="DIR", help="keep the data there instead")
    given = parser.parse_args(arguments)
    if given.json is not None and not given.json.absolute().parent.is_dir():
        parser.error(f"there is no folder {given.json.absolute().parent} for --json")
    usual = usual_place(CLONE, root=is_system_root(), environ=os.environ, home=Path.home())
    place = Place(given.state.absolute()) if given.state else usual
    return Wish(once=given.once, json=given.json.absolute() if given.json else None, place=place)


def main() -> None:
    """Run, and leave with the status."""
    if "NOX_CURRENT_SESSION" in os.environ:
        end_with_parent()  # a nox that is killed cannot end its session
    asked = wish(sys.argv[1:])
    sys.exit(asyncio.run(Demo(asked, usual_show()).run()))


if __name__ == "__main__":
    main()
