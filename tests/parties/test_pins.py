"""Pins: what a settings file says is checked whole, and each standing allows what its table says."""

import ssl
import tomllib
from base64 import b64encode
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from openkcm.parties.identity import Identity
from openkcm.parties.pins import Pin, Pins
from openkcm.parties.settings import PartiesSettings, PinSetting, pin_toml, read_pin, read_pins
from openkcm.sdk.refusals import Permanent, Refusal
from tests.parties.conftest import Enrol

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def parsed(toml: str) -> tuple[PinSetting, ...]:
    return msgspec.convert(tomllib.loads(toml)["parties"], PartiesSettings).pins


def setting(pin: Pin) -> PinSetting:
    return parsed(pin_toml(pin))[0]


def test_what_enrolment_prints_is_read_back_from_a_settings_file(control: Identity, region: Identity) -> None:
    dated = replace(region.pin, standing="accepted-until", until=date(2027, 1, 31))
    old = replace(control.pin, standing="old-signatures")
    pins = read_pins(parsed("\n".join(map(pin_toml, (dated, old)))))
    assert list(pins) == [dated, old]


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Local"},
        {"serial": 0},
        {"standing": "signs-later"},
        {"standing": "accepted-until"},
        {"standing": "accepted-until 2026-13-01"},
        {"standing": "accepted-until tomorrow"},
        {"signing": "AAAA"},
        {"signing": "*"},
        {"sealing": "AAAA"},
        {"sealing": b64encode(b"\xff" * 1216).decode()},
        {"tls_certificate": "garbage"},
        {"tls_certificate": ssl.DER_cert_to_PEM_cert(b"garbage")},
        {"tls_sha256": "00" * 32},
    ],
)
def test_a_malformed_pin_is_refused_by_name(region: Identity, change: dict[str, object]) -> None:
    good = setting(region.pin)
    with pytest.raises(Permanent) as no:
        read_pin(msgspec.structs.replace(good, **change))
    assert no.value.refusal is Refusal.PIN_INVALID
    assert "region" in str(no.value)
    assert read_pin(good) == region.pin


@pytest.mark.parametrize("wrong", [{"kind": "planet"}, {"surprise": 1}, {"serial": "1"}])
def test_a_table_of_another_form_is_refused(region: Identity, wrong: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(msgspec.structs.asdict(setting(region.pin)) | wrong, PinSetting)


def certificate(*, ca: bool | None, key: object = None, issuer: object = None) -> bytes:
    key = key or Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 7, NOON, NOON + timedelta(9))  # type: ignore[attr-defined] # any key
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    signer = issuer or key
    algorithm = None if isinstance(signer, Ed25519PrivateKey) else SHA256()
    return builder.sign(signer, algorithm).public_bytes(Encoding.DER)  # type: ignore[arg-type] # any key


@pytest.mark.parametrize(
    ("der", "why"),
    [
        (certificate(ca=True), "CA's"),
        (certificate(ca=None), "CA:FALSE"),
        (certificate(ca=False, key=generate_private_key(SECP256R1())), "not Ed25519"),
        (certificate(ca=False, issuer=Ed25519PrivateKey.generate()), "not signed by its own key"),
    ],
)
def test_a_certificate_that_could_vouch_for_others_is_no_pin(region: Identity, der: bytes, why: str) -> None:
    with pytest.raises(Permanent, match=why) as no:
        read_pin(setting(replace(region.pin, tls_certificate=der)))
    assert no.value.refusal is Refusal.PIN_INVALID


def test_a_self_signed_certificate_that_says_ca_false_is_a_pin(region: Identity) -> None:
    other = replace(region.pin, tls_certificate=certificate(ca=False))
    assert read_pin(setting(other)) == other


@pytest.mark.parametrize("shared", ["signing", "sealing", "tls_certificate", "name"])
def test_two_pins_that_share_a_key_a_certificate_or_a_name_are_refused(party: Enrol, shared: str) -> None:
    one, two = party("eu-1", "region").pin, party("eu-2", "region").pin
    with pytest.raises(Permanent) as no:
        Pins([one, replace(two, **{shared: getattr(one, shared)})])
    assert no.value.refusal is Refusal.PIN_INVALID
    assert Pins([one, two]).names("region") == ("eu-1", "eu-2")


def test_one_party_has_one_version_that_signs_now(party: Enrol) -> None:
    one, two = party("eu-1", "region").pin, party("eu-1", "region", 2).pin
    with pytest.raises(Permanent, match="both say signs-now"):
        Pins([one, two])
    pins = Pins([replace(one, standing="old-signatures"), two])
    assert pins.current("region", "eu-1") == two
    assert pins.by_version("region", "eu-1", 1) is not None


def test_a_party_without_a_pin_that_signs_now_is_unknown(control: Identity, region: Identity) -> None:
    pins = Pins([control.pin, replace(region.pin, standing="old-signatures")])
    for kind, name in (("region", "local"), ("region", "control"), ("control", "local")):
        with pytest.raises(Permanent) as no:
            pins.current(kind, name)  # type: ignore[arg-type] # both are kinds
        assert no.value.refusal is Refusal.PARTY_UNKNOWN
    assert pins.current("control", "control") == control.pin
    assert pins.names("region") == ()


def test_a_leaf_is_known_by_its_hash_while_its_pin_is_accepted(control: Identity, region: Identity) -> None:
    dated = replace(region.pin, standing="accepted-until", until=date(2026, 11, 24))
    pins = Pins([control.pin, dated])
    last = datetime(2026, 11, 24, 23, 59, 59, tzinfo=UTC)
    assert pins.by_leaf(control.pin.tls_sha256, now=NOON) == control.pin
    assert pins.by_leaf(dated.tls_sha256, now=last) == dated
    assert pins.by_leaf(dated.tls_sha256, now=last.astimezone(timezone(timedelta(hours=5)))) == dated
    assert pins.by_leaf(dated.tls_sha256, now=last + timedelta(seconds=1)) is None
    assert pins.by_leaf(bytes(32), now=NOON) is None
    retired = Pins([replace(region.pin, standing="old-signatures")])
    assert retired.by_leaf(region.pin.tls_sha256, now=NOON) is None


def test_a_fingerprint_covers_everything_that_is_pinned(party: Enrol) -> None:
    one, two = party("eu-1", "region").pin, party("eu-2", "control", 2).pin
    fields = ("kind", "name", "serial", "signing", "sealing", "tls_certificate")
    changed = {replace(one, **{field: getattr(two, field)}).fingerprint for field in fields}
    assert len(changed | {one.fingerprint}) == 7
    assert replace(one, standing="old-signatures").fingerprint == one.fingerprint
    assert [len(group) for group in one.fingerprint.split()] == [8] * 8
