"""A mail server that takes a mail and does not say so, for those whose mails are held."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from tests.provisioning.processes import until
from tests.provisioning.site import Site, WatchedPost


@dataclass
class HeldMail:
    """Mails to ``whose`` about ``about`` are taken and stay unanswered until ``let_go``."""

    site: Site
    about: str = ""
    whose: set[str] = field(default_factory=set)
    standing: set[str] = field(default_factory=set)

    def begin(self, *recipients: str, about: str = "") -> None:
        post = self.site.mail.post
        assert isinstance(post, WatchedPost)
        self.about = about
        self.whose |= set(recipients)
        post.taking = self._taking

    def wait_standing(self) -> None:
        until(lambda: self.standing == self.whose, what=f"mails to {self.whose} are taken")

    def let_go(self) -> None:
        self.whose.clear()

    async def _taking(self) -> None:
        recipient, mail, _ = self.site.mail.post.taken[-1]
        while recipient in self.whose and self.about in mail["Subject"]:
            self.standing.add(recipient)
            await asyncio.sleep(0.02)
