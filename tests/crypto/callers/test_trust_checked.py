"""What may be registered to prove a caller, and that nothing else of a file is kept."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from openkcm.crypto.contract import CertificateTrust, IssuerTrust, PinnedTrust, Trust, checked_trust
from openkcm.sdk.refusals import Permanent, Refusal
from tests.crypto.callers.pki import SPIFFE, Authority

CA = Authority()
LEAF = CA.issue(SPIFFE)


def refusal(trust: Trust) -> str:
    """The words of the refusal; they have a remedy and repeat nothing that was given."""
    with pytest.raises(Permanent) as refused:
        checked_trust(trust)
    assert refused.value.refusal is Refusal.TRUST_INVALID
    assert refused.value.remedy is not None
    assert "MII" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("name", [SPIFFE, "shop.example", "a", "xn--bcher-kva.example"])
def test_an_authority_and_a_name_are_kept_as_they_are(name: str) -> None:
    trust = CertificateTrust(authority=CA.pem, name=name)
    assert checked_trust(trust) == trust
    assert checked_trust(PinnedTrust(certificate=LEAF.pem)) == PinnedTrust(certificate=LEAF.pem)


def test_what_stands_around_certificates_is_dropped() -> None:
    noise = f"Bag Attributes\n secret: word\n{CA.pem}\r\n# and more\n"
    assert checked_trust(CertificateTrust(authority=noise, name="a")) == CertificateTrust(
        authority=CA.pem, name="a"
    )


@pytest.mark.parametrize("where", ["before", "after"])
def test_a_private_key_is_refused_and_repeated_nowhere(where: str) -> None:
    key = LEAF.key_pem
    text = key + LEAF.pem if where == "before" else LEAF.pem + key
    said = refusal(PinnedTrust(certificate=text))
    assert "private key" in said
    assert key.splitlines()[1] not in said
    assert "private key" in refusal(CertificateTrust(authority=CA.pem + key, name="a"))
    issuer = IssuerTrust(issuer="https://issuer.example", subject="s", authority=key)
    assert "private key" in refusal(issuer)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "text",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        CA.pem.replace("CERTIFICATE", "CERTIFICATE REQUEST"),
        CA.pem + "x" * 20_000,
        CA.pem[:-40],
    ],
)
def test_what_is_no_certificate_is_refused(text: str) -> None:
    refusal(CertificateTrust(authority=text, name="a"))
    refusal(PinnedTrust(certificate=text))


@pytest.mark.parametrize(
    "key",
    [
        ed25519.Ed25519PrivateKey.generate(),
        ec.generate_private_key(ec.SECP521R1()),
        ec.generate_private_key(ec.SECP256K1()),
        rsa.generate_private_key(65537, 1024),  # noqa: S505 - too short is what it is for
    ],
)
def test_a_key_of_another_kind_is_refused_when_it_is_registered(key: ec.EllipticCurvePrivateKey) -> None:
    assert "P-256, P-384" in refusal(PinnedTrust(certificate=CA.issue("a", key=key).pem))


def test_an_authority_says_that_it_is_one() -> None:
    assert "no authority" in refusal(CertificateTrust(authority=LEAF.pem, name="a"))
    assert "no authority" in refusal(CertificateTrust(authority=Authority(signs=False).pem, name="a"))
    assert "no authority" in refusal(CertificateTrust(authority=CA.pem + LEAF.pem, name="a"))
    assert "8 are the most" in refusal(
        CertificateTrust(authority="".join(Authority().pem for _ in range(9)), name="a")
    )


def test_a_pinned_certificate_is_one_and_for_a_client() -> None:
    assert "exactly one" in refusal(PinnedTrust(certificate=LEAF.pem + CA.pem))
    server = CA.issue("a", uses=[ExtendedKeyUsageOID.SERVER_AUTH])
    assert "not for a TLS client" in refusal(PinnedTrust(certificate=server.pem))


@pytest.mark.parametrize(
    "name",
    ["", "*.shop.example", "Shop.example", "spiffe://", "spiffe:shop", "a b", "https://x/y", "a..b", "ä"],
)
def test_a_name_is_a_spiffe_id_or_a_dns_name(name: str) -> None:
    refusal(CertificateTrust(authority=CA.pem, name=name))


@pytest.mark.parametrize(
    "issuer",
    [
        *(
            "",
            "http://issuer.example",
            "issuer.example",
            "https://",
            "https://u:p@issuer.example",
            "https://@x/",
        ),
        *("https://x/?a=b", "https://x/#a", "https://x/?", "https://x:0/", "https://x:99999/", "https://ä/"),
        *("https://x /", "https://" + "x" * 600),
    ],
)
def test_an_issuer_is_an_https_address_alone(issuer: str) -> None:
    refusal(IssuerTrust(issuer=issuer, subject="s"))


@pytest.mark.parametrize("subject", ["", " ", "a b", "a\n", "ä", "x" * 600])
def test_a_subject_is_printable(subject: str) -> None:
    refusal(IssuerTrust(issuer="https://issuer.example", subject=subject))


def test_an_issuer_of_kubernetes_is_kept_as_it_is() -> None:
    trust = IssuerTrust(
        issuer="https://kubernetes.default.svc.cluster.local:6443/x",
        subject="system:serviceaccount:shop:backend",
        authority=CA.pem,
    )
    assert checked_trust(trust) == trust
