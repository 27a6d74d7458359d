"""By what we are known to kcp, kept fresh: a token from the kubeconfig, from a file, or from a command."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Final

import msgspec

from openkcm.sdk.refusals import Refusal, Remedy, Temporary
from openkcm_tenants_kcp.kubeconfig import Exec, Kubeconfig

_FILE_AGE_S: Final = 60.0
_COMMAND_S: Final = 30.0
_EARLY_S: Final = 30.0
_MAX_BYTES: Final = 65_536


class _CredentialStatus(msgspec.Struct, frozen=True, rename="camel"):
    token: str = ""
    expiration_timestamp: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class _Credential(msgspec.Struct, frozen=True, rename="camel"):
    kind: str
    status: _CredentialStatus = _CredentialStatus()


class Credentials:
    """The bearer token of a kubeconfig; empty where a client certificate speaks for us.

    A token file is read again after a minute, a command run again when its token nears its end, and both at once when
    kcp refuses what they gave before.
    """

    def __init__(
        self,
        given: Kubeconfig,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._given = given
        self._clock = clock
        self._now = now
        self._token = given.token
        self._stale_at = float("-inf")
        self._reading = asyncio.Lock()

    async def token(self) -> str:
        """The token to send now.

        Raises:
            Temporary: SOURCE_UNAVAILABLE; the file cannot be read, or the command gave none.
        """
        if self._given.token_file is None and self._given.exec is None:
            return self._given.token
        async with self._reading:
            if self._clock() >= self._stale_at:
                await self._read()
            return self._token

    def refused(self, token: str) -> None:
        """This token was not taken: the next one is read anew, unless that has happened already."""
        if token == self._token:
            self._stale_at = float("-inf")

    async def _read(self) -> None:
        if self._given.token_file is not None:
            try:
                token = self._given.token_file.read_text("ascii").strip()
            except (OSError, UnicodeDecodeError):
                raise _unavailable(f"The token file {self._given.token_file} cannot be read.") from None
            if not token:  # just being written: without one we would be nobody, and be refused for a minute
                raise _unavailable(f"The token file {self._given.token_file} is empty.")
            self._token = token
            self._stale_at = self._clock() + _FILE_AGE_S
        elif self._given.exec is not None:
            found = await _run(self._given.exec)
            self._token = found.token
            lasts_s = float("inf")
            if found.expiration_timestamp is not None:
                lasts_s = max(0.0, (found.expiration_timestamp - self._now()).total_seconds() - _EARLY_S)
            self._stale_at = self._clock() + lasts_s


async def _run(given: Exec) -> _CredentialStatus:
    """What the command printed. Its own words, which may hold anything, are shown to nobody."""
    info = {"apiVersion": given.api_version, "kind": "ExecCredential", "spec": {"interactive": False}}
    environment = {
        **os.environ,
        **given.environment,
        "KUBERNETES_EXEC_INFO": msgspec.json.encode(info).decode(),
    }
    try:
        process = await asyncio.create_subprocess_exec(
            given.command,
            *given.arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=environment,
            cwd=given.directory,
        )
    except OSError as failed:
        raise _unavailable(f"The command {given.command} cannot be run: {failed.strerror}.") from None
    try:
        async with asyncio.timeout(_COMMAND_S):
            printed, _ = await process.communicate()
    except TimeoutError:
        raise _unavailable(f"The command {given.command} gave no token within {_COMMAND_S:g} s.") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    try:
        credential = msgspec.json.decode(printed[:_MAX_BYTES], type=_Credential)
    except msgspec.DecodeError:
        credential = _Credential(kind="")
    if process.returncode or credential.kind != "ExecCredential" or not credential.status.token:
        raise _unavailable(
            f"The command {given.command} gave no token (it ended with status {process.returncode})."
        )
    return credential.status


def _unavailable(message: str) -> Temporary:
    return Temporary(
        Refusal.SOURCE_UNAVAILABLE,
        message,
        remedy=Remedy(
            "Run the command, or read the file, as the worker's user. Tenants stay as they are meanwhile.",
            "Platform operator",
            "plugins/tenants-kcp#kubeconfig",
        ),
    )
