"""A client certificate and what was sent with it: how much work a hostile chain can make."""

from __future__ import annotations

from datetime import UTC, datetime
from time import process_time

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from openkcm.crypto.callers.certificates import check_issued
from openkcm.crypto.callers.peer import Peer
from openkcm.crypto.callers.proof import ProofFailed, Why
from openkcm.crypto.contract import CertificateTrust
from tests.crypto.callers.pki import SPIFFE, Authority, Issued


def peer_of(leaf: Issued, *sent: Authority) -> Peer:
    return Peer(
        tenant="acme",
        certificate=leaf.der,
        chain=tuple(one.certificate.public_bytes(Encoding.DER) for one in sent),
    )


def check(trusted: Authority, peer: Peer) -> datetime:
    return check_issued(CertificateTrust(authority=trusted.pem, name=SPIFFE), peer, now=datetime.now(UTC))


def took_s(trusted: Authority, peer: Peer, *, why: Why | None) -> float:
    """The least of three: what else the machine does is not counted."""
    found = []
    for _ in range(3):
        began = process_time()
        if why is None:
            check(trusted, peer)
        else:
            with pytest.raises(ProofFailed) as failed:
                check(trusted, peer)
            assert failed.value.why is why
        found.append(process_time() - began)
    return min(found)


def new_384() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP384R1())


def test_authorities_that_vouch_for_each_other_in_circles_cost_little_more_than_a_good_chain() -> None:
    """Each of them could be any other's issuer: tried one by one, that is the verifier's every last attempt."""
    root = Authority("Root", key=new_384())
    between = Authority("Between", key=new_384(), signed_by=root)
    good = took_s(root, peer_of(between.issue(SPIFFE), between), why=None)
    key = new_384()
    circle = [Authority("Circle", key=key) for _ in range(20)]
    bad = took_s(root, peer_of(circle[0].issue(SPIFFE), *circle), why=Why.AUTHORITY)
    assert bad < 15 * good


def test_a_chain_of_four_authorities_is_followed_and_one_of_five_is_not() -> None:
    signed = [Authority("Root")]
    for number in range(5):
        signed.append(Authority(f"Between {number}", signed_by=signed[-1]))
    root, *between = signed
    leaf = between[3].issue(SPIFFE)
    assert check(root, peer_of(leaf, *reversed(between[:4]))) == leaf.certificate.not_valid_after_utc
    with pytest.raises(ProofFailed) as failed:
        check(root, peer_of(between[4].issue(SPIFFE), *reversed(between)))
    assert failed.value.why is Why.AUTHORITY


def test_an_authority_between_of_another_kind_of_key_is_not_looked_at() -> None:
    root = Authority("Root")
    odd = Authority("Between", key=ec.generate_private_key(ec.SECP521R1()), signed_by=root)
    with pytest.raises(ProofFailed) as failed:
        check(root, peer_of(odd.issue(SPIFFE), odd))
    assert failed.value.why is Why.KEY_KIND
