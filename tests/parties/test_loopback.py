"""Real TLS over loopback between pinned parties: who gets in, who does not, and pins that change meanwhile."""

import asyncio
import os
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from openkcm.kernel.clock import SetClock
from openkcm.parties.certificate import self_signed
from openkcm.parties.dial import pinned_client
from openkcm.parties.identity import Identity
from openkcm.parties.pins import Pin, Pins
from openkcm.parties.tls import Door, client_context, is_wrong_peer
from openkcm.serving.peer import PEER, pinned_config

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
Enrol = Callable[..., Identity]


async def whoami(scope: Any, _receive: Any, send: Any) -> None:  # noqa: ANN401 (ASGI)
    peer: Pin | None = scope["extensions"][PEER]
    text = f"{peer.kind} {peer.name} {peer.serial}" if peer else "answered although unknown"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": text.encode()})


@asynccontextmanager
async def serving(door: Door) -> AsyncIterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(whoami, log_config=None, lifespan="off", loop="none", **pinned_config(door))
    server = uvicorn.Server(config)
    running = asyncio.create_task(server._serve(sockets=[listener]))
    try:
        while not server.started:  # uvicorn has no event for it
            await asyncio.sleep(0.005)
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await running


async def ask(identity: Identity, server: Pin, address: str) -> str:
    async with pinned_client(identity, server, address, timeout_s=5) as client:
        answer = await client.get("/")
        assert answer.status_code == 200
        return answer.text


def a_door(region: Identity, *pins: Pin, clock: SetClock | None = None) -> Door:
    return Door(region, Pins(pins), admits="control", clock=clock or SetClock(NOON))


REFUSED = (httpx2.TransportError, ssl.SSLError)


async def test_a_pinned_peer_is_answered_and_known_by_name(control: Identity, region: Identity) -> None:
    async with serving(a_door(region, control.pin)) as address:
        assert await ask(control, region.pin, address) == "control control 1"


async def test_the_same_name_with_another_key_is_refused_and_the_right_one_still_served(
    party: Enrol, control: Identity, region: Identity
) -> None:
    impostor = party("control", "control")
    async with serving(a_door(region, control.pin)) as address:
        with pytest.raises(REFUSED):
            await ask(impostor, region.pin, address)
        assert await ask(control, region.pin, address) == "control control 1"


async def test_no_certificate_is_refused(control: Identity, region: Identity) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=ssl.DER_cert_to_PEM_cert(region.tls_certificate))
    door = a_door(region, control.pin)
    assert door.context.verify_mode is ssl.CERT_REQUIRED  # the protocol would refuse it too, but later
    async with serving(door) as address, httpx2.AsyncClient(verify=context) as client:
        with pytest.raises(REFUSED):
            await client.get(address)
        assert await ask(control, region.pin, address) == "control control 1"


def issued(
    issuer: Ed25519PrivateKey, issuer_name: str, key: Ed25519PrivateKey, name: str, *, ca: bool
) -> bytes:
    return (
        x509.CertificateBuilder()
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer_name)]))
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOON - timedelta(days=3000))
        .not_valid_after(NOON + timedelta(days=30000))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .sign(issuer, None)
        .public_bytes(Encoding.DER)
    )


async def test_a_certificate_signed_by_a_pinned_ca_is_refused_by_its_hash(
    control: Identity, region: Identity
) -> None:
    ca, child = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    pinned_ca = replace(control.pin, tls_certificate=issued(ca, "ca", ca, "ca", ca=True))
    signed = replace(control, tls_key=child, tls_certificate=issued(ca, "ca", child, "control", ca=False))
    as_ca = replace(control, tls_key=ca, tls_certificate=pinned_ca.tls_certificate)
    async with serving(a_door(region, pinned_ca)) as address:
        with pytest.raises(REFUSED):
            await ask(signed, region.pin, address)
        # TLS alone would have let it in: the pin's own certificate is served.
        assert await ask(as_ca, region.pin, address) == "control control 1"


async def test_a_certificate_that_has_ended_is_refused(control: Identity, region: Identity) -> None:
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "control")])
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), 7, NOON - timedelta(3000), NOON - timedelta(2000)
    )
    ended = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    der = ended.sign(key, None).public_bytes(Encoding.DER)
    late = replace(control, tls_key=key, tls_certificate=der)
    async with serving(a_door(region, late.pin)) as address:
        with pytest.raises(REFUSED):
            await ask(late, region.pin, address)


async def test_a_pin_is_refused_after_its_date_on_open_connections_too(
    control: Identity, region: Identity
) -> None:
    clock = SetClock(NOON)
    dated = replace(control.pin, standing="accepted-until", until=date(2026, 11, 24))
    async with (
        serving(a_door(region, dated, clock=clock)) as address,
        pinned_client(control, region.pin, address) as client,
    ):
        assert (await client.get("/")).text == "control control 1"
        clock.advance(12 * 3600)  # the next day's first second
        with pytest.raises(REFUSED):
            await client.get("/")
        with pytest.raises(REFUSED):
            await ask(control, region.pin, address)
        clock.jump(-1)
        assert await ask(control, region.pin, address) == "control control 1"


async def test_a_pin_for_old_signatures_opens_no_door(control: Identity, region: Identity) -> None:
    async with serving(a_door(region, replace(control.pin, standing="old-signatures"))) as address:
        with pytest.raises(REFUSED):
            await ask(control, region.pin, address)


async def test_a_pinned_party_of_another_kind_is_refused(
    party: Enrol, control: Identity, region: Identity
) -> None:
    sibling = party("other", "region")
    async with serving(a_door(region, control.pin, sibling.pin)) as address:
        with pytest.raises(REFUSED):
            await ask(sibling, region.pin, address)
        assert await ask(control, region.pin, address) == "control control 1"


async def test_a_substituted_server_gets_no_request_and_is_told_from_an_outage(
    party: Enrol, control: Identity, region: Identity
) -> None:
    async with serving(a_door(party("local", "region"), control.pin)) as address:
        with pytest.raises(REFUSED) as refused:
            await ask(control, region.pin, address)
    assert is_wrong_peer(refused.value)
    with pytest.raises(REFUSED) as gone:
        await ask(control, region.pin, address)
    assert not is_wrong_peer(gone.value)


async def test_a_server_with_a_certificate_signed_by_the_pinned_key_gets_no_request(
    control: Identity, region: Identity
) -> None:
    ca, child = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    pinned_ca = replace(region.pin, tls_certificate=issued(ca, "ca", ca, "ca", ca=True))
    signed = replace(region, tls_key=child, tls_certificate=issued(ca, "ca", child, "local", ca=False))
    async with serving(a_door(signed, control.pin)) as address:
        with pytest.raises(REFUSED) as refused:
            await ask(control, pinned_ca, address)
    assert is_wrong_peer(refused.value)


async def test_pins_are_swapped_without_a_restart_for_new_and_open_connections(
    party: Enrol, control: Identity, region: Identity
) -> None:
    successor = party("control", "control", 2)
    door = a_door(region, control.pin)
    async with serving(door) as address, pinned_client(control, region.pin, address) as old:
        assert (await old.get("/")).text == "control control 1"
        with pytest.raises(REFUSED):
            await ask(successor, region.pin, address)
        door.replace(
            Pins([replace(control.pin, standing="accepted-until", until=date(2026, 12, 1)), successor.pin])
        )
        assert (await old.get("/")).text == "control control 1"
        assert await ask(successor, region.pin, address) == "control control 2"
        door.replace(Pins([successor.pin]))
        with pytest.raises(REFUSED):
            await old.get("/")
        with pytest.raises(REFUSED):
            await ask(control, region.pin, address)
        assert await ask(successor, region.pin, address) == "control control 2"


async def test_tls_1_2_is_refused(control: Identity, region: Identity) -> None:
    context = client_context(control, region.pin)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with serving(a_door(region, control.pin)) as address, httpx2.AsyncClient(verify=context) as client:
        with pytest.raises(REFUSED):
            await client.get(address)


async def test_a_request_for_an_upgrade_stays_with_the_pinned_protocol(
    control: Identity, region: Identity
) -> None:
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": "eA==",
        "Sec-WebSocket-Version": "13",
    }
    async with serving(a_door(region, control.pin)) as address:
        async with pinned_client(control, region.pin, address) as client:
            answer = await client.get("/", headers=upgrade)
        assert answer.text == "control control 1"


def test_a_party_is_not_dialled_without_tls(control: Identity, region: Identity) -> None:
    with pytest.raises(ValueError, match="https only"):
        pinned_client(control, region.pin, "http://127.0.0.1:1")


def test_the_certificate_of_a_party_has_no_end_and_no_authority(region: Identity) -> None:
    certificate = x509.load_der_x509_certificate(region.tls_certificate)
    assert certificate.not_valid_after_utc == datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    assert self_signed(region.tls_key, common_name="x") != region.tls_certificate


async def test_where_the_system_has_no_files_in_memory_the_key_is_loaded_from_a_private_one_that_is_gone_after(
    control: Identity, region: Identity, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delattr(os, "memfd_create")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "own"))
    (tmp_path / "own").mkdir()
    async with serving(a_door(region, control.pin)) as address:
        assert await ask(control, region.pin, address) == "control control 1"
    assert list((tmp_path / "own").iterdir()) == []
