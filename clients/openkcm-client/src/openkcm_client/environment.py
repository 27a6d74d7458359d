"""A client's settings out of the environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypedDict

from openkcm_client.bounds import Bounds
from openkcm_client.credentials import ClientCertificate, Credentials, StaticToken, Where, WorkloadToken

PREFIX: Final = "OPENKCM_CLIENT_"


class Given(TypedDict, total=False):
    """What a client may be made with."""

    address: str | Sequence[str]
    tenant: str
    service: str
    credentials: Credentials | str
    ca: Where | None
    local: bool
    bounds: Bounds | None
    timeout_s: float


def from_environment(environ: Mapping[str, str]) -> Given:
    """What the variables say: ADDRESS (several with commas), TENANT, SERVICE, CA, TIMEOUT_S, LOCAL (``no``: no key here),
    and who calls: CALLER with CERTIFICATE and KEY, or with TOKEN_FILE; or TOKEN alone.

    Raises:
        ValueError: not exactly one way to prove who calls, or one without its other half, or a number that is none.
    """
    said = {name: environ[PREFIX + name] for name in _NAMES if environ.get(PREFIX + name)}
    given = Given()
    if "ADDRESS" in said:
        given["address"] = [part.strip() for part in said["ADDRESS"].split(",") if part.strip()]
    if "TENANT" in said:
        given["tenant"] = said["TENANT"]
    if "SERVICE" in said:
        given["service"] = said["SERVICE"]
    if "CA" in said:
        given["ca"] = said["CA"]
    if "TIMEOUT_S" in said:
        given["timeout_s"] = float(said["TIMEOUT_S"])
    if "LOCAL" in said:
        given["local"] = _yes(said["LOCAL"])
    if proof := _credentials(said):
        given["credentials"] = proof
    return given


_NAMES: Final = (
    "ADDRESS",
    "TENANT",
    "SERVICE",
    "CA",
    "TIMEOUT_S",
    "LOCAL",
    "CALLER",
    "CERTIFICATE",
    "KEY",
    "TOKEN_FILE",
    "TOKEN",
)


def _credentials(said: Mapping[str, str]) -> Credentials | None:
    ways = [name for name in ("CERTIFICATE", "TOKEN_FILE", "TOKEN") if name in said]
    if not ways:
        return None
    if len(ways) > 1:
        raise ValueError(f"one of {PREFIX}CERTIFICATE, {PREFIX}TOKEN_FILE and {PREFIX}TOKEN says who calls")
    if ways == ["TOKEN"]:
        return StaticToken(said["TOKEN"])
    if "CALLER" not in said:
        raise ValueError(f"{PREFIX}CALLER names the registered caller")
    if ways == ["TOKEN_FILE"]:
        return WorkloadToken(said["TOKEN_FILE"], caller=said["CALLER"])
    if "KEY" not in said:
        raise ValueError(f"{PREFIX}KEY is the file with the certificate's key")
    return ClientCertificate(said["CERTIFICATE"], said["KEY"], caller=said["CALLER"])


def _yes(text: str) -> bool:
    if text.lower() not in {"yes", "no", "true", "false", "1", "0"}:
        raise ValueError(f"{PREFIX}LOCAL is yes or no")
    return text.lower() in {"yes", "true", "1"}
