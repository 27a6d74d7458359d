"""The data door's TLS as a client of its own making meets it: a session that is taken up again proves nothing new."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from pathlib import Path

import pytest
from msgspec.structs import replace

from openkcm.crypto.contract import CertificateTrust, DesiredCaller
from tests.crypto.callers.applications import HOST, Applications
from tests.crypto.callers.pki import SPIFFE, Authority, client_context

pytestmark = pytest.mark.integration
ACME, BLUE = f"acme.{HOST}", f"blue.{HOST}"
VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


def caller(authority: Authority) -> DesiredCaller:
    trust = CertificateTrust(authority=authority.pem, name=SPIFFE)
    return DesiredCaller(name="shop", service="default", verbs=("encrypt",), trust=trust, registered=1)


class Dialler:
    """One client with one certificate, who comes again with the session that it had before, wherever it goes."""

    def __init__(self, port: int, context: ssl.SSLContext, version: ssl.TLSVersion) -> None:
        context.minimum_version = context.maximum_version = version
        self._port = port
        self._context = context
        self.session: ssl.SSLSession | None = None
        self.reused: bool | None = None

    async def post(
        self, sni: str, path: str, body: dict[str, object], *, host: str = "", token: str = ""
    ) -> tuple[int, dict[str, object]]:
        """Status and answer; 0 where the door has turned the certificate away and said nothing."""
        content = json.dumps(body).encode()
        lines = [
            f"POST {path} HTTP/1.1",
            f"Host: {host or sni}",
            "Connection: close",
            "Content-Type: application/json",
            f"Content-Length: {len(content)}",
            *([f"Authorization: Bearer {token}"] if token else []),
        ]
        try:
            raw = await asyncio.to_thread(self._say, sni, "\r\n".join(lines).encode() + b"\r\n\r\n" + content)
        except (ssl.SSLError, ConnectionError):
            raw = b""
        if not raw:
            return 0, {}
        head, _, told = raw.partition(b"\r\n\r\n")
        return int(head.split()[1]), json.loads(told)

    async def exchange(self, sni: str, tenant: str, *, host: str = "") -> tuple[int, dict[str, object]]:
        body: dict[str, object] = {
            "tenant": tenant,
            "service": "default",
            "caller": "shop",
            "verbs": ["encrypt"],
        }
        return await self.post(sni, "/v1/token", body, host=host)

    async def encrypt(self, sni: str, token: str) -> int:
        return (await self.post(sni, "/v1/encrypt", {"plaintext": "YQ=="}, token=token))[0]

    def _say(self, sni: str, request: bytes) -> bytes:
        with (
            socket.create_connection(("127.0.0.1", self._port), timeout=10) as plain,
            self._context.wrap_socket(plain, server_hostname=sni, session=self.session) as tls,
        ):
            tls.sendall(request)
            answer = b""
            while piece := tls.recv(65536):
                answer += piece
            self.session, self.reused = tls.session, tls.session_reused
            return answer


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_session_taken_up_again_has_its_certificate_and_no_right_that_was_taken_meanwhile(
    applications: Applications, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    authority = Authority()
    await applications.register("acme", caller(authority))
    shown = authority.issue(SPIFFE).files(tmp_path, "shop")
    shop = Dialler(applications.port, client_context(applications.door, shown), version)
    status, told = await shop.exchange(ACME, "acme")
    assert status == 200
    token = str(told["token"])
    assert await shop.encrypt(ACME, token) == 200  # the leaf is known where the session was resumed, too
    assert shop.reused is (version is ssl.TLSVersion.TLSv1_2)
    # Another authority is registered for it: OpenSSL does not look at a resumed session's certificate, but we do.
    await applications.register("acme", replace(caller(Authority("Other CA")), registered=2))
    again = version is ssl.TLSVersion.TLSv1_2
    assert (await shop.exchange(ACME, "acme"))[0] == (403 if again else 0)
    assert await shop.encrypt(ACME, token) == (403 if again else 0)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_session_of_one_tenants_name_is_none_of_anothers_even_with_the_same_authority(
    applications: Applications, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    authority = Authority()
    await applications.register("acme", caller(authority))
    await applications.register("blue", caller(authority))
    shown = authority.issue(SPIFFE).files(tmp_path, "shop")
    shop = Dialler(applications.port, client_context(applications.door, shown), version)
    assert (await shop.exchange(ACME, "acme"))[0] == 200
    resumed_elsewhere = await shop.exchange(BLUE, "blue")
    if shop.reused:  # it says which name it was made for, and nobody believes another one
        assert resumed_elsewhere[0] == 403
    else:
        assert resumed_elsewhere[0] == 200
    shop.session = None
    assert (await shop.exchange(BLUE, "blue"))[0] == 200


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_name_of_the_handshake_counts_and_the_host_header_does_not(
    applications: Applications, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    authority = Authority()
    await applications.register("acme", caller(authority))
    await applications.register("blue", caller(authority))
    shown = authority.issue(SPIFFE).files(tmp_path, "shop")
    shop = Dialler(applications.port, client_context(applications.door, shown), version)
    assert (await shop.exchange(ACME, "blue", host=BLUE))[0] == 403
    assert (await shop.exchange(ACME, "acme", host=BLUE))[0] == 200
