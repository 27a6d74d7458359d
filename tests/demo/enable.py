"""Story 1: a new account appears, and nobody clicks anything until its owner opens the pages."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from tests.demo.account import Account, new_account
from tests.demo.failed import DemoFailed
from tests.demo.person import Application, Person
from tests.demo.place import Place
from tests.demo.post import Mail, Post
from tests.demo.product import Product
from tests.demo.show import Board, Show

STEPS = ("admit", "assign", "mint", "activate", "grant", "publish", "announce", "notify")
_MANIFEST, _FOUND, _READY, _MAIL = "manifest on disk", "detected", "ready", "mail arrived"
_DATA, _PAGES = "data round trip", "pages open"
LINES = (_MANIFEST, _FOUND, *STEPS, _READY, _MAIL, _DATA, _PAGES)
READY_AIM_S = 10.0
_WITHIN_S = 120.0


@dataclass(slots=True)
class Outcome:
    """What the story came to. ``seconds`` runs from the manifest on disk to ready *and* the mail accepted."""

    ok: bool = False
    seconds: float | None = None
    steps: list[tuple[str, float]] = field(default_factory=list)
    account: Account | None = None

    def as_json(self) -> dict[str, object]:
        """As it is written with ``--json``."""
        return {
            "ok": self.ok,
            "seconds": None if self.seconds is None else round(self.seconds, 3),
            "steps": [{"name": name, "seconds": round(took, 3)} for name, took in self.steps],
        }


class Enable:
    """Plays the story once."""

    def __init__(self, product: Product, post: Post, place: Place, show: Show) -> None:
        self._product = product
        self._post = post
        self._place = place
        self._show = show
        self._board = Board.of(LINES)
        self.outcome = Outcome()

    async def play(self) -> None:
        """``outcome`` is filled, as far as the story came.

        Raises:
            DemoFailed: what did not come true.
        """
        account = new_account(self._place.accounts())
        self.outcome.account = account
        self._show.say(f"A new account appears: {account.title}, made by {account.creator}")
        with self._show.story(self._board):
            try:
                async with asyncio.timeout(_WITHIN_S):
                    await self._play(account)
            except TimeoutError:
                missing = next(line.name for line in self._board.lines.values() if line.at_s is None)
                self._note(missing, f"not within {_WITHIN_S:.0f} s", failed=True)
                raise DemoFailed(
                    f"'{missing}' did not happen within {_WITHIN_S:.0f} s. "
                    f"The logs are in {self._place.state / 'logs'}."
                ) from None
        self.outcome.ok = True

    async def _play(self, account: Account) -> None:
        async with self._product.following(account.uid) as told:
            file = account.drop(self._place.manifests)
            self._board.began = time.monotonic()
            self._note(_MANIFEST, file.name, at_s=0.0)
            arrived = asyncio.ensure_future(self._mail(account))
            try:
                ready_s = await self._followed(told, account)
                self.outcome.seconds = max(ready_s, await arrived)
            finally:
                arrived.cancel()
        async with Person(self._product.web) as person:
            await person.sign_in(await self._product.sign_in_link(account.uid))
            await self._round_trip(account, person)
            await person.home(account.uid)
            self._note(_PAGES, f"{self._product.web}/t/{account.uid} answers 200 to {account.creator}")

    async def _followed(self, told: AsyncIterator[Mapping[str, object]], account: Account) -> float:
        """Every step is done; returns when the account was ready, in seconds since the manifest."""
        ready_s: float | None = None
        async for each in told:
            if self._board.lines[_FOUND].at_s is None:
                self._note(_FOUND, f"tenant {account.uid}")
            self._steps(each)
            tenant = each["tenant"]
            assert isinstance(tenant, dict)
            if ready_s is None and tenant["state"] == "ready":
                ready_s = self._board.elapsed_s
                self._note(_READY, "encrypted, owned, and its pages are open")
            if ready_s is not None and len(self.outcome.steps) == len(STEPS):
                return ready_s
        raise DemoFailed("The set-up ended before the account was ready; openkcm tenants show tells why.")

    def _steps(self, told: Mapping[str, object]) -> None:
        steps = told["steps"]
        assert isinstance(steps, list)
        done = {name for name, _ in self.outcome.steps}
        for step in steps:
            name, outcome = str(step["name"]), str(step["outcome"])
            if outcome == "done" and name not in done:
                took_s = float(step["took_s"] or 0.0)
                self.outcome.steps.append((name, took_s))
                self._note(name, str(step["detail"]), took_s=took_s)
            elif outcome == "failed":
                self._note(name, str(step["detail"]), failed=True)
                raise DemoFailed(f"The step '{name}' was refused: {step['detail']}")

    async def _mail(self, account: Account) -> float:
        """The owner's mail was accepted, and says where to go; returns when, in seconds since the manifest."""
        address = f"/t/{account.uid}"

        def expected(mail: Mail) -> bool:
            return account.creator in mail.recipients and address in mail.text

        mail = await self._post.until(expected)
        if not mail.encrypted:
            raise DemoFailed("The mail came over a connection without TLS.")
        at_s = mail.at - self._board.began
        self._note(_MAIL, f"“{mail.subject}” to {account.creator}, with its address", at_s=at_s)
        return at_s

    async def _round_trip(self, account: Account, person: Person) -> None:
        token = await person.token(account.uid)
        number = f"{secrets.randbelow(9000) + 1000}"
        record = f"Invoice {number} of {account.title}: 1,240.00 EUR".encode()
        about = f"invoice {number}".encode()
        began = time.monotonic()
        async with Application(token, tenant=account.uid) as writer:
            message = await writer.encrypt(record, about)
        if record in message:
            raise DemoFailed("The message has the plaintext in it.")
        # Another instance, which has no key yet: the region opens the message's data key for it.
        async with Application(token, tenant=account.uid) as reader:
            if await reader.decrypt(message, about) != record:
                raise DemoFailed("Something else was decrypted than what was encrypted.")
        self._note(
            _DATA,
            f"{len(record)} bytes → {len(message)} bytes encrypted → the same {len(record)} bytes",
            took_s=time.monotonic() - began,
        )

    def _note(
        self,
        name: str,
        note: str,
        *,
        at_s: float | None = None,
        took_s: float | None = None,
        failed: bool = False,
    ) -> None:
        line = self._board.lines[name]
        line.at_s = self._board.elapsed_s if at_s is None else at_s
        line.note, line.took_s, line.failed = note, took_s, failed
        self._show.changed(line)
