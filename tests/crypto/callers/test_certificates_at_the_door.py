"""Callers with certificates at a real region's door: what gets in, what does not, and that nobody is locked out."""

from __future__ import annotations

from pathlib import Path

import httpx2
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from openkcm.crypto.contract import CertificateTrust, DesiredCaller, PinnedTrust, Trust
from tests.crypto.callers.applications import HOST, Application, Applications
from tests.crypto.callers.pki import SPIFFE, Authority, Key, look_alike

pytestmark = pytest.mark.integration
ACME, BLUE = f"acme.{HOST}", f"blue.{HOST}"


def caller(trust: Trust, *, name: str = "shop", registered: int = 1) -> DesiredCaller:
    return DesiredCaller(name=name, service="default", verbs=("encrypt",), trust=trust, registered=registered)


def issued(authority: Authority, name: str = SPIFFE) -> DesiredCaller:
    return caller(CertificateTrust(authority=authority.pem, name=name))


def is_refused(answer: httpx2.Response) -> None:
    """As every exchange is whose proof does not hold."""
    assert (answer.status_code, answer.json()["code"]) == (403, "caller-unknown"), answer.text


async def is_kept_out(application: Application) -> None:
    """The handshake itself ends: nobody of that host name knows this certificate."""
    with pytest.raises(httpx2.TransportError):
        await application.exchange("acme")


@pytest.mark.parametrize("name", [SPIFFE, "backend.shop.example"])
@pytest.mark.parametrize("kind", ["P-256", "P-384", "RSA"])
async def test_a_certificate_of_the_callers_authority_and_name_gets_a_token_that_encrypts(
    applications: Applications, tmp_path: Path, name: str, kind: str
) -> None:
    authority = Authority()
    await applications.register("acme", issued(authority, name))
    keys: dict[str, Key] = {
        "P-256": ec.generate_private_key(ec.SECP256R1()),
        "P-384": ec.generate_private_key(ec.SECP384R1()),
        "RSA": rsa.generate_private_key(65537, 2048),
    }
    shown = authority.issue(name, key=keys[kind]).files(tmp_path, "shop")
    async with applications.dial(ACME, shown) as shop:
        token = await shop.token("acme", lifetime_s=60)
        assert (await shop.encrypt("acme", token.token)).status_code == 200
        assert (await shop.exchange("acme", verbs=["decrypt"])).status_code == 403  # not registered for it


async def test_an_intermediate_is_enough_and_so_is_a_chain_up_to_a_root(
    applications: Applications, tmp_path: Path
) -> None:
    root = Authority("Root")
    between = Authority("Between", signed_by=root)
    certificate = between.issue(SPIFFE)
    chain = certificate.files(tmp_path, "chain")
    chain[0].write_text(certificate.pem + between.pem)
    for registered, shown in ((between, certificate.files(tmp_path, "leaf")), (root, chain)):
        await applications.register("acme", issued(registered))
        async with applications.dial(ACME, shown) as shop:
            await shop.token("acme")


async def test_a_token_of_a_certificate_is_good_over_that_certificates_connections_alone(
    applications: Applications, tmp_path: Path
) -> None:
    authority = Authority()
    await applications.register("acme", issued(authority))
    shown = authority.issue(SPIFFE).files(tmp_path, "shop")
    other = authority.issue(SPIFFE).files(tmp_path, "other")
    async with applications.dial(ACME, shown) as shop:
        token = (await shop.token("acme")).token
    async with applications.dial(ACME, shown) as again:
        assert (await again.encrypt("acme", token)).status_code == 200
    for thief in (applications.dial(ACME, other), applications.dial(ACME), applications.dial(HOST)):
        async with thief as stolen:
            answer = await stolen.encrypt("acme", token)
            assert (answer.status_code, answer.json()["code"]) == (401, "token-invalid")


async def test_a_foreign_authority_with_the_right_name_does_not_get_in(
    applications: Applications, tmp_path: Path
) -> None:
    authority = Authority()
    await applications.register("acme", issued(authority))
    foreign = Authority("Foreign CA").issue(SPIFFE).files(tmp_path, "foreign")
    async with applications.dial(ACME, foreign) as thief:
        await is_kept_out(thief)
    alike = look_alike(authority).issue(SPIFFE).files(tmp_path, "alike")
    async with applications.dial(ACME, alike) as thief:
        await is_kept_out(thief)


async def test_another_authority_of_the_same_tenant_does_not_vouch_for_the_caller(
    applications: Applications, tmp_path: Path
) -> None:
    mine, other = Authority("One"), Authority("Two")
    await applications.register(
        "acme", issued(mine), caller(CertificateTrust(authority=other.pem, name=SPIFFE), name="job")
    )
    async with applications.dial(ACME, other.issue(SPIFFE).files(tmp_path, "two")) as application:
        is_refused(await application.exchange("acme"))
        await application.token("acme", caller="job")


async def test_a_tenant_whose_authority_imitates_anothers_neither_gets_in_nor_locks_the_other_out(
    applications: Applications, tmp_path: Path
) -> None:
    honest = Authority()
    hostile = look_alike(honest)
    # The imitator is first, and registers the honest one's authority as well.
    both = caller(CertificateTrust(authority=hostile.pem + honest.pem, name=SPIFFE))
    await applications.register("blue", both)
    await applications.register("acme", issued(honest))
    good = honest.issue(SPIFFE).files(tmp_path, "good")
    bad = hostile.issue(SPIFFE).files(tmp_path, "bad")
    for _ in range(3):
        async with applications.dial(ACME, good) as shop:
            await shop.token("acme")
        async with applications.dial(ACME, bad) as thief:
            await is_kept_out(thief)
    await applications.register("blue", issued(hostile))
    async with applications.dial(BLUE, bad) as thief:  # at home it is known, elsewhere it proves nothing
        is_refused(await thief.exchange("acme"))
        await thief.token("blue")


async def test_a_name_counts_as_a_whole_and_a_spiffe_id_stands_alone(
    applications: Applications, tmp_path: Path
) -> None:
    authority = Authority()
    await applications.register("acme", issued(authority))
    names = {
        "longer": (f"{SPIFFE}2",),
        "none": (),
        "two": (SPIFFE, "spiffe://shop.example/other"),
        "dns": ("shop.example",),
    }
    for label, alternatives in names.items():
        shown = authority.issue(*alternatives).files(tmp_path, label)
        async with applications.dial(ACME, shown) as application:
            is_refused(await application.exchange("acme"))


async def test_a_pinned_certificate_gets_in_and_another_of_the_same_key_does_not(
    applications: Applications, tmp_path: Path
) -> None:
    anybody = Authority("Anybody")
    pinned = anybody.issue("shop.example")
    await applications.register("acme", caller(PinnedTrust(certificate=pinned.pem)))
    async with applications.dial(ACME, pinned.files(tmp_path, "pinned")) as shop:
        token = await shop.token("acme")
        assert (await shop.encrypt("acme", token.token)).status_code == 200
    again = anybody.issue("shop.example", key=pinned.key).files(tmp_path, "again")
    async with applications.dial(ACME, again) as other:
        await is_kept_out(other)
    job = caller(CertificateTrust(authority=anybody.pem, name="job.example"), name="job")
    await applications.register("acme", caller(PinnedTrust(certificate=pinned.pem)), job)
    async with applications.dial(ACME, again) as other:  # now its authority is known, and it is still another
        is_refused(await other.exchange("acme"))


async def test_an_expired_certificate_does_not_get_in(applications: Applications, tmp_path: Path) -> None:
    authority = Authority()
    await applications.register("acme", issued(authority))
    old = authority.issue(SPIFFE, days=(-3, -1)).files(tmp_path, "old")
    async with applications.dial(ACME, old) as application:
        await is_kept_out(application)


async def test_a_removed_caller_gets_no_token_and_the_one_that_it_has_ends_at_once(
    applications: Applications, tmp_path: Path
) -> None:
    authority = Authority()
    await applications.register("acme", issued(authority))
    shown = authority.issue(SPIFFE).files(tmp_path, "shop")
    async with applications.dial(ACME, shown) as shop:
        token = (await shop.token("acme")).token
        await applications.register("acme")
        answer = await shop.encrypt("acme", token)
        assert (answer.status_code, answer.json()["code"]) == (403, "caller-unknown")
        is_refused(await shop.exchange("acme"))
        # Another registration of the same name does not bring the old token back.
        await applications.register("acme", msgspec.structs.replace(issued(authority), registered=2))
        assert (await shop.encrypt("acme", token)).status_code == 403
        await shop.token("acme")
    await applications.register("acme")
    async with applications.dial(ACME, shown) as shop:
        await is_kept_out(shop)


async def test_an_unknown_tenant_and_an_unknown_caller_are_told_what_a_wrong_proof_is(
    applications: Applications, tmp_path: Path
) -> None:
    authority = Authority()
    await applications.register("acme", issued(authority))
    shown = authority.issue("other.example").files(tmp_path, "shop")
    async with applications.dial(ACME, shown) as application, applications.dial(HOST) as bare:
        told = [
            await application.exchange("acme"),
            await application.exchange("acme", caller="nobody"),
            await application.exchange("acme", service="other"),
            await application.exchange("nobody"),
            await bare.exchange("acme"),
            await bare.exchange("acme", assertion="x.y.z"),
        ]
        for answer in told:
            is_refused(answer)
        assert len({answer.text for answer in told}) == 1


async def test_a_certificate_counts_at_its_tenants_own_host_name_alone(
    applications: Applications, tmp_path: Path
) -> None:
    common = Authority()
    await applications.register("acme", issued(common))
    await applications.register("blue", issued(common))
    shown = common.issue(SPIFFE).files(tmp_path, "shop")
    async with applications.dial(BLUE, shown) as shop:
        is_refused(await shop.exchange("acme"))
        await shop.token("blue")
