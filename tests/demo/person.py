"""The account's owner at a browser: follows the one-time link, presses its button, looks, asks for a token."""

from __future__ import annotations

import shlex
from collections.abc import Awaitable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from types import TracebackType
from typing import Self
from urllib.parse import urljoin, urlsplit

import httpx2

import openkcm_client
from tests.demo.failed import DemoFailed

_OK = 200


@dataclass(slots=True)
class Form:
    """A form of a page: where it goes, and what is in it already."""

    action: str
    fields: dict[str, str] = field(default_factory=dict)


class Page(HTMLParser):
    """What the demo needs of a page: its forms, and what stands there to be copied."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.pasted: list[str] = []
        self._in_pre = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Called by the parser."""
        given = {name: value or "" for name, value in attrs}
        if tag == "form" and given.get("method", "").lower() == "post":
            self.forms.append(Form(given.get("action", "")))
        elif tag == "input" and self.forms and given.get("name"):
            self.forms[-1].fields[given["name"]] = given.get("value", "")
        elif tag == "pre":
            self._in_pre = True
            self.pasted.append("")

    def handle_endtag(self, tag: str) -> None:
        """Called by the parser."""
        if tag == "pre":
            self._in_pre = False

    def handle_data(self, data: str) -> None:
        """Called by the parser."""
        if self._in_pre:
            self.pasted[-1] += data

    def form(self, ending: str) -> Form:
        """The form whose address ends so (a mark within the page aside)."""
        for each in self.forms:
            if urlsplit(each.action).path.endswith(ending):
                return each
        raise DemoFailed(f"The page has no button that leads to …{ending}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What the home page shows once: a region's token, and where it is good."""

    value: str = field(repr=False)
    data_address: str


class Person:
    """One browser with its cookies. ``web`` is the pages' address."""

    def __init__(self, web: str) -> None:
        self._web = web
        self._client = httpx2.AsyncClient(follow_redirects=True, timeout=15, trust_env=False)
        self._last = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def sign_in(self, link: str) -> None:
        """Signed in. The link is used up by its button, not by looking at it."""
        page = await self._see(link)
        await self._press(page.form(urlsplit(link).path))

    async def home(self, tenant: str) -> Page:
        """The account's overview answered 200, to this person, and not with some other page."""
        page = await self._see(f"{self._web}/t/{tenant}")
        if urlsplit(self._last).path != f"/t/{tenant}":
            raise DemoFailed(
                f"The home page of {tenant} led to {urlsplit(self._last).path} instead of opening."
            )
        return page

    async def token(self, tenant: str) -> Token:
        """Another token, from the button of the home page."""
        home = await self.home(tenant)
        page = await self._press(home.form(f"/t/{tenant}/token"))
        for commands in page.pasted:
            given = dict(word.split("=", 1) for word in _assignments(commands))
            if "OPENKCM" in given and given.get("AUTH", "").startswith("Authorization: Bearer "):
                return Token(
                    value=given["AUTH"].removeprefix("Authorization: Bearer "), data_address=given["OPENKCM"]
                )
        raise DemoFailed("The home page showed no token after its button was pressed.")

    async def _see(self, address: str) -> Page:
        answer = await self._client.get(address)
        return self._page(answer)

    async def _press(self, form: Form) -> Page:
        # As a browser does: the form's page is the origin.
        address = urljoin(self._web, form.action)
        answer = await self._client.post(address, data=form.fields, headers={"Origin": self._web})
        return self._page(answer)

    def _page(self, answer: httpx2.Response) -> Page:
        self._last = str(answer.url)
        if answer.status_code != _OK:
            # Of a sign-in link's address only the part that is no secret is shown.
            path = urlsplit(self._last).path.partition("/sign-in/")[0]
            raise DemoFailed(f"{path} answered {answer.status_code} instead of 200.")
        return Page(answer.text)


class Application:
    """What an application does: with the SDK, and the token that its owner took.

    Without ``local`` every record goes through the Crypto Service.
    """

    def __init__(self, token: Token, *, tenant: str, local: bool = True) -> None:
        self._client = openkcm_client.AsyncClient(
            token.data_address,
            tenant=tenant,
            credentials=openkcm_client.StaticToken(token.value),
            local=local,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def encrypt(self, plaintext: bytes, about: bytes) -> bytes:
        """The message that an application would store; ``about`` says what the record is of."""
        return await self._told(self._client.encrypt(plaintext, about))

    async def decrypt(self, message: bytes, about: bytes) -> bytes:
        """What was encrypted."""
        return await self._told(self._client.decrypt(message, about))

    async def _told(self, work: Awaitable[bytes]) -> bytes:
        try:
            return await work
        except openkcm_client.Error as refused:
            raise DemoFailed(f"The SDK said: {refused}") from refused


def _assignments(commands: str) -> list[str]:
    """The lines of a shell that set a variable to a fixed value."""
    found = []
    for line in commands.splitlines():
        name = line.partition("=")[0]
        if name.isupper() and "$(" not in line:
            found.append("=".join([name, *shlex.split(line.partition("=")[2])[:1]]))
    return found
