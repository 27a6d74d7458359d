"""Whether an account's address answers from where its owner would ask."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator

import httpx2

from openkcm.provisioning.means import Probe
from openkcm.sdk.refusals import Refusal, Remedy, Temporary


@contextlib.asynccontextmanager
async def probing(*, ca_file: str = "") -> AsyncIterator[Probe]:
    """A probe that asks over kept connections; TLS is verified, against ``ca_file`` where one is given.

    Redirects are not followed: an address that leads elsewhere is not the account's.
    """
    verify = ssl.create_default_context(cafile=ca_file or None)
    limits = httpx2.Limits(max_connections=8, max_keepalive_connections=8)
    async with httpx2.AsyncClient(
        verify=verify, trust_env=False, timeout=5.0, limits=limits, follow_redirects=False
    ) as client:

        async def probe(address: str) -> None:
            try:
                answer = await client.get(address)
            except httpx2.HTTPError as lost:
                raise _not_answering("nobody answers there") from lost
            if answer.status_code != httpx2.codes.NO_CONTENT:
                raise _not_answering(f"it answers {answer.status_code} where 204 is due")

        yield probe


def _not_answering(why: str) -> Temporary:
    return Temporary(
        Refusal.ADDRESS_NOT_ANSWERING,
        f"The account's address does not answer yet: {why}.",
        remedy=Remedy(
            "Check the web process and that the public URL leads to it.", "operator", "operate/web"
        ),
    )
