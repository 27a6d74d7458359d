"""A few connections to the mail server, kept for the next message, each used by one message at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from aiosmtplib import SMTP
from aiosmtplib.errors import SMTPException

from openkcm_notify_smtp.refusals import no_login, no_password, no_starttls
from openkcm_notify_smtp.settings import Security, SmtpSettings, password_of

_IDLE_S = 20.0
_FRESH_S = 0.05
_MAX_MESSAGES = 100


@dataclass(slots=True)
class _Line:
    """One open connection, and what it has done."""

    smtp: SMTP
    messages: int = 0
    idle_since: float = 0.0
    ends: asyncio.TimerHandle | None = None


class Connections:
    """At most ``settings.connections`` at once; an idle one is closed after 20 s, a used one after 100 messages."""

    def __init__(self, settings: SmtpSettings) -> None:
        self._settings = settings
        self._free = asyncio.Semaphore(settings.connections)
        self._idle: list[_Line] = []
        self._closed = False

    @asynccontextmanager
    async def one(self) -> AsyncIterator[SMTP]:
        """A connection that is logged in. A block that raises loses it: nobody knows what the server thinks."""
        async with self._free:
            line = await self._reused() or _Line(await self._opened())
            kept = False
            try:
                yield line.smtp
                line.messages += 1
                kept = line.messages < _MAX_MESSAGES and not self._closed
            finally:
                if kept:
                    self._keep(line)
                else:
                    line.smtp.close()

    async def aclose(self) -> None:
        """No connection is open any more, those in use excepted, which close when they are done."""
        self._closed = True
        while self._idle:
            await _end(self._taken())

    def _keep(self, line: _Line) -> None:
        loop = asyncio.get_running_loop()
        line.idle_since = loop.time()
        line.ends = loop.call_later(_IDLE_S, self._expire, line)
        self._idle.append(line)

    def _expire(self, line: _Line) -> None:
        if line in self._idle:
            self._idle.remove(line)
            line.smtp.close()

    def _taken(self) -> _Line:
        line = self._idle.pop()
        if line.ends:
            line.ends.cancel()
        return line

    async def _reused(self) -> _Line | None:
        """An idle connection whose server still answers; servers hang up on idle clients as they like."""
        while self._idle:
            line = self._taken()
            if asyncio.get_running_loop().time() - line.idle_since < _FRESH_S and line.smtp.is_connected:
                return line
            try:
                await line.smtp.noop()
            except (SMTPException, OSError):
                line.smtp.close()
            except BaseException:
                line.smtp.close()
                raise
            else:
                return line
        return None

    async def _opened(self) -> SMTP:
        settings = self._settings
        smtp = SMTP(
            hostname=settings.host,
            port=settings.port,
            timeout=settings.timeout_s,
            use_tls=settings.security is Security.TLS,
            start_tls=False,
            tls_context=settings.tls,
            # Not the machine's own name: asking for that can hang in a name server.
            local_hostname=settings.sender.domain,
        )
        try:
            await smtp.connect()
            await smtp.ehlo()
            if settings.security is Security.STARTTLS:
                if not smtp.supports_extension("starttls"):
                    raise no_starttls(server=settings.server)
                await smtp.starttls(tls_context=settings.tls)
                await smtp.ehlo()
            await self._log_in(smtp)
        except BaseException:
            smtp.close()
            raise
        return smtp

    async def _log_in(self, smtp: SMTP) -> None:
        settings = self._settings
        if not settings.username:
            return
        if not smtp.supports_extension("auth"):
            raise no_login(server=settings.server)
        try:
            password = password_of(settings)
        except (OSError, UnicodeError):
            raise no_password(server=settings.server) from None
        try:
            await smtp.login(settings.username, password)
        except SMTPException as failed:
            if type(failed) is SMTPException:  # the server's ways to log in and ours have none in common
                raise no_login(server=settings.server) from None
            raise


async def _end(line: _Line) -> None:
    """The server is told that we go; one that does not answer is left."""
    with suppress(SMTPException, OSError):
        await line.smtp.quit(timeout=1.0)
    line.smtp.close()
