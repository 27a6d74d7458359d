"""A question to the regions until one answers it: tokens, the next address, another try, and a total deadline.

Every question here may be asked twice: encrypting gives another message, a data key another key, the rest the same.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final, TypeVar

import httpx2
import msgspec

from openkcm_client.credentials import Credentials, StaticToken, Where, tls
from openkcm_client.errors import Error
from openkcm_client.http import Answered, Http
from openkcm_client.moments import Moments
from openkcm_client.refused import Refused, TooMany, Unavailable, bad_answer, from_problem, from_status
from openkcm_client.tokens import Tokens
from openkcm_client.wire import Item, Problem

ATTEMPT_S: Final = 5.0
"""One request to one region; shorter where less is left."""
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 2.0
_AGAIN: Final = frozenset({429, 502, 503, 504})

T = TypeVar("T")


class Calls:
    """Asks regions on behalf of one caller, tenant and service."""

    def __init__(
        self,
        addresses: tuple[str, ...],
        credentials: Credentials,
        tenant: str,
        service: str,
        *,
        ca: Where | None,
        timeout_s: float,
        moments: Moments,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._addresses = addresses
        self._at = 0
        self._credentials = credentials
        self._ca = ca
        self._timeout_s = timeout_s
        self._moments = moments
        self._transport = transport
        self._names = (tenant, service)
        self._tokens = Tokens(credentials, tenant, service, moments)
        self._http: Http | None = None
        self._read: tuple[float, ...] = ()
        self._replaced: list[Http] = []

    async def ask_one(self, path: str, item: Item, answer: type[T]) -> tuple[float, T]:
        """As ``ask``, of what is asked alone: a token of another tenant or service than this client's is refused."""
        tenant, service = self._names
        return await self.ask(path, msgspec.structs.replace(item, tenant=tenant, service=service), answer)

    async def ask(self, path: str, question: object, answer: type[T]) -> tuple[float, T]:
        """The moment at which the question was sent that was answered, and the answer.

        Raises:
            Refused: in its family.
            BadCiphertext: the region could not open what it was given.
        """
        deadline_s = self._moments.now() + self._timeout_s
        body, tries, renewed = msgspec.json.encode(question), 0, False
        while True:
            address = self._addresses[self._at % len(self._addresses)]
            token = ""
            try:
                token = await self._tokens.get(address, self._exchange)
                sent_s, answered = await self._post(address, path, body, token, deadline_s)
                return sent_s, _decoded(answered, answer)
            except Refused as refused:
                if refused.code == "token-invalid" and token and not renewed:
                    # Once: the region may have another root, or be another one, since the token was made.
                    renewed = self._tokens.refused(address, token)
                    if renewed:
                        continue
                pause_s = self._pause_s(tries, refused)
                if not refused.again or self._moments.now() + pause_s >= deadline_s:
                    raise
                tries += 1
            if pause_s:
                await self._moments.pause(pause_s)

    async def aclose(self) -> None:
        await self._tokens.end()
        for http in (*self._replaced, self._http):
            if http is not None:
                await http.aclose()
        self.forget()

    def forget(self) -> list[object]:
        """Connections and tokens are as if there had been none; what is left of them is handed over, not closed."""
        left: list[object] = [self._http, self._tokens, *self._replaced]
        self._http, self._replaced = None, []
        self._tokens = Tokens(self._credentials, *self._names, self._moments)
        return left

    def _pause_s(self, tries: int, refused: Refused) -> float:
        """Until the next try. The next address is tried at once; when all were, it is time to wait."""
        if not isinstance(refused, TooMany):
            self._at += 1
            if (tries + 1) % len(self._addresses):
                return 0.0
        rounds = min(tries // len(self._addresses), 8)
        pause_s: float = min(_FIRST_PAUSE_S * 2.0**rounds, _LONGEST_PAUSE_S) * (
            0.5 + self._moments.chance() / 2
        )
        return max(pause_s, refused.retry_after_s or 0.0)

    async def _post(
        self, address: str, path: str, body: bytes, token: str | None, deadline_s: float
    ) -> tuple[float, Answered]:
        """What a 200 brought."""
        if self._http is None:
            self._connect()
        http = self._http
        assert http is not None  # noqa: S101 - connected above
        sent_s = self._moments.now()
        patience_s = max(0.05, min(ATTEMPT_S, deadline_s - sent_s))
        try:
            answered = await http.post(address, path, body, token=token, patience_s=patience_s)
        except Unavailable as silent:
            silent.again = silent.code == "no-answer"
            raise
        if answered.status != 200:
            raise _refusal(answered)
        return sent_s, answered

    async def _exchange(self, address: str, body: bytes) -> tuple[float, Answered]:
        if self._read != self._changed():
            self._connect()
        return await self._post(address, "/v1/token", body, None, self._moments.now() + self._timeout_s)

    def _connect(self) -> None:
        """Connections with the certificate as it is now; those made before serve what is under way."""
        self._read = self._changed()
        files = None if isinstance(self._credentials, StaticToken) else self._credentials.files()
        if self._http is not None:
            self._replaced.append(self._http)
        speaks_tls = any(address.startswith("https:") for address in self._addresses)
        # Reading the machine's authorities takes longer than all the rest.
        context = tls(self._ca, files) if speaks_tls else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._http = Http(context, self._transport)

    def _changed(self) -> tuple[float, ...]:
        """When the files of the client certificate were changed."""
        files = None if isinstance(self._credentials, StaticToken) else self._credentials.files()
        return tuple(_changed_s(file) for file in files or ())


def _changed_s(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0  # reading it will say what is wrong


def _decoded(answered: Answered, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(answered.body, type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        # From None: the library's words may quote the body.
        raise bad_answer("it is not what this address answers") from None


def _refusal(answered: Answered) -> Error:
    """The error that an answer is; a body that is no problem+json is not looked at any further."""
    try:
        problem = msgspec.json.decode(answered.body, type=Problem)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        kind = from_status(answered.status)
        error: Error = kind(
            f"The region answered with status {answered.status} and no reason.",
            code="" if kind is not Refused else "refused",
            remedy="Look whether the address is a region's data door.",
            who="operator",
            retry_after_s=answered.retry_after_s,
        )
    else:
        error = from_problem(problem, status=answered.status, retry_after_s=answered.retry_after_s)
    if isinstance(error, Refused):
        error.again = answered.status in _AGAIN
    return error
