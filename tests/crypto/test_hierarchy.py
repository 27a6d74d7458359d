"""Derivations and wraps against values worked out here from their definition, and what each is bound to."""

from __future__ import annotations

import hmac
from hashlib import sha256

import pytest

from openkcm.crypto import hierarchy, labels
from openkcm.crypto.hierarchy import SealingKey
from openkcm.sdk.refusals import Refusal
from openkcm_client.enc import enc
from tests.crypto.refusing import refused

ROOT = bytes(range(32))
SEALING = SealingKey(ROOT, region="local", version=1)
KEY_ID = b"k" * 16
KEY = b"K" * 32
SECRET = b"S" * 32


def hkdf(key: bytes, info: bytes) -> bytes:
    """RFC 5869 with SHA-256, no salt, 32 bytes out: one block."""
    extracted = hmac.digest(b"\0" * 32, key, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")


def test_every_derivation_is_hkdf_of_the_sealing_key_over_label_region_tenant_key_id_and_secret() -> None:
    sealing = hkdf(ROOT, enc("openkcm sealing key v1", "local", 1))
    given = SEALING.derive("label", tenant="acme", key_id=KEY_ID, secret=SECRET)
    assert given == hkdf(sealing, enc("label", "local", "acme", KEY_ID, SECRET))
    code = hkdf(sealing, enc("openkcm region authentication v1", "local", "", b"", b""))
    assert SEALING.authenticate("kind", "x", 7) == hmac.digest(code, enc("kind", "local", "x", 7), "sha256")


def test_a_commitment_is_hkdf_of_the_key_over_its_place() -> None:
    given = hierarchy.commitment(KEY, level="L3", tenant="acme", service="default", key_id=KEY_ID)
    assert given == hkdf(KEY, enc("openkcm key commitment v1", "L3", "acme", "default", KEY_ID))


def test_a_fingerprint_gives_nothing_of_the_root_and_tells_it_from_others() -> None:
    given = hierarchy.fingerprint(ROOT, region="local", version=1)
    assert given == hkdf(ROOT, enc("openkcm root fingerprint v1", "local", 1)).hex()
    assert given != sha256(ROOT).hexdigest()
    assert given != hierarchy.fingerprint(ROOT, region="eu-1", version=1)


def test_no_label_is_used_twice() -> None:
    values = [value for name, value in vars(labels).items() if name.isupper()]
    assert len(set(values)) == len(values) >= 7


@pytest.mark.parametrize(
    "change",
    [{"tenant": "evil"}, {"key_id": b"j" * 16}, {"erase_secret": b"T" * 32}, {"root": 2}, {"region": "eu-1"}],
)
def test_an_l2_wrap_opens_only_in_its_place(change: dict[str, object]) -> None:
    place = {"tenant": "acme", "key_id": KEY_ID, "erase_secret": SECRET}
    blob = hierarchy.wrap_l2(KEY, SEALING, tenant="acme", key_id=KEY_ID, erase_secret=SECRET)
    assert hierarchy.unwrap_l2(blob, SEALING, tenant="acme", key_id=KEY_ID, erase_secret=SECRET) == KEY
    sealing = SealingKey(
        ROOT, region=str(change.pop("region", "local")), version=int(str(change.pop("root", 1)))
    )
    with refused(Refusal.RECORD_MISMATCH):
        hierarchy.unwrap_l2(blob, sealing, **(place | change))  # type: ignore[arg-type] # as it is called above


@pytest.mark.parametrize(
    "change", [{"tenant": "evil"}, {"service": "other"}, {"key_id": b"j" * 16}, {"l2": b"M" * 32}]
)
def test_an_l3_wrap_opens_only_in_its_place(change: dict[str, object]) -> None:
    place = {"l2": b"L" * 32, "tenant": "acme", "service": "default", "key_id": KEY_ID}
    blob = hierarchy.wrap_l3(KEY, b"L" * 32, tenant="acme", service="default", key_id=KEY_ID)
    assert hierarchy.unwrap_l3(blob, **place) == KEY  # type: ignore[arg-type] # as it is called above
    with refused(Refusal.RECORD_MISMATCH):
        hierarchy.unwrap_l3(blob, **(place | change))  # type: ignore[arg-type] # as it is called above


@pytest.mark.parametrize("blob", [b"", b"x" * 23, b"x" * 40])
def test_what_is_no_wrap_is_refused(blob: bytes) -> None:
    with refused(Refusal.RECORD_MISMATCH):
        hierarchy.unwrap_l3(blob, KEY, tenant="acme", service="default", key_id=KEY_ID)


def test_a_sealing_key_shows_nothing_and_is_not_copied() -> None:
    assert ROOT.hex() not in repr(SEALING)
    with pytest.raises(TypeError, match="not copied"):
        SEALING.__reduce__()
