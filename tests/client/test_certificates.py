"""A caller's certificate, over TLS as it is: shown, verified against, and read again when it was renewed."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from openkcm_client import AsyncClient, ClientCertificate, Unavailable
from tests.client.strict_region import TENANT, StrictRegion

DAY = timedelta(days=1)


class Authority:
    """Issues certificates for 127.0.0.1, and for callers by name."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = self._builder(self._name, self._key).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self.file = directory / f"{name}.pem"
        self.file.write_bytes(made.sign(self._key, SHA256()).public_bytes(Encoding.PEM))

    def issue(self, name: str) -> tuple[Path, Path]:
        """Certificate and key, as files."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = self._builder(subject, key).add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(ip_address("127.0.0.1"))]),
            critical=False,
        )
        certificate, secret = (self._directory / f"{name}.{ending}" for ending in ("crt", "key"))
        certificate.write_bytes(made.sign(self._key, SHA256()).public_bytes(Encoding.PEM))
        secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return certificate, secret

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + DAY)
        )


@asynccontextmanager
async def listening(region: StrictRegion, authority: Authority, seen: list[str]) -> AsyncIterator[str]:
    """The region over TLS, which wants a certificate of this authority; ``seen`` are the names that came."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.file))
    context.load_cert_chain(*map(str, authority.issue("region")))
    context.verify_mode = ssl.CERT_REQUIRED

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                first, *lines = head.split("\r\n")
                pairs = (line.partition(": ") for line in lines if line)
                headers = httpx2.Headers([(name, value) for name, _, value in pairs])
                body = await reader.readexactly(int(headers["content-length"]))
                request = httpx2.Request(
                    "POST", f"https://region{first.split()[1]}", headers=headers, content=body
                )
                peer = writer.get_extra_info("peercert")
                seen.append(peer["subject"][0][0][1])
                answer = await region.handle_async_request(request)
                raw = await answer.aread()
                writer.write(
                    f"HTTP/1.1 {answer.status_code} X\r\nContent-Length: {len(raw)}\r\n\r\n".encode() + raw
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass  # the client went
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_a_caller_shows_its_certificate_and_it_is_read_again_when_renewed(tmp_path: Path) -> None:
    region, authority, seen = StrictRegion(proofs={""}), Authority(tmp_path, "authority"), list[str]()
    certificate, key = authority.issue("shop")
    async with listening(region, authority, seen) as address:
        proof = ClientCertificate(certificate, key, caller="shop")
        async with AsyncClient(address, tenant=TENANT, credentials=proof, ca=authority.file) as kcm:
            message = await kcm.encrypt(b"x")
            renewed = authority.issue("shop-renewed")
            for new, old in zip(renewed, (certificate, key), strict=True):
                new.replace(old)
            region.tokens.clear()  # as the end of the first one's life
            await kcm.rewrap(message)
    assert region.asked == ["/v1/token", "/v1/data-keys", "/v1/rewrap", "/v1/token", "/v1/rewrap"]
    assert seen == ["shop"] * 3 + ["shop-renewed"] * 2


@pytest.mark.parametrize(
    ("whose", "told"),
    [
        ("the region's", "showed a certificate that is not believed here.*'ca'"),
        ("the caller's", "ended the connection without an answer.*the tenant's own host name"),
    ],
)
async def test_a_certificate_of_another_authority_connects_nobody_and_is_told_so(
    tmp_path: Path, whose: str, told: str
) -> None:
    region, seen = StrictRegion(proofs={""}), list[str]()
    authority, other = Authority(tmp_path, "authority"), Authority(tmp_path, "other")
    foreign = whose == "the caller's"
    async with listening(region, authority, seen) as address:
        proof = ClientCertificate(*(other if foreign else authority).issue("shop"), caller="shop")
        ca = authority.file if foreign else other.file
        async with AsyncClient(address, tenant=TENANT, credentials=proof, ca=ca, timeout_s=0.3) as kcm:
            with pytest.raises(Unavailable, match=told):
                await kcm.encrypt(b"x")
    assert (region.asked, seen) == ([], [])


async def test_an_address_where_nobody_listens_or_nobody_speaks_tls_is_told_so(tmp_path: Path) -> None:
    async def mute(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 no\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    address = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    ca = Authority(tmp_path, "authority").file
    async with server, AsyncClient(address, tenant=TENANT, credentials="t", ca=ca, timeout_s=0.3) as kcm:
        with pytest.raises(Unavailable, match="cannot be spoken to by TLS"):
            await kcm.encrypt(b"x")
    async with AsyncClient(address, tenant=TENANT, credentials="t", ca=ca, timeout_s=0.3) as kcm:
        with pytest.raises(Unavailable, match="cannot be reached"):
            await kcm.encrypt(b"x")
