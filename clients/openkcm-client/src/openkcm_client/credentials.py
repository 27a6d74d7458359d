"""What proves to a region who calls. What is secret in them is in no ``repr``, and they are not pickled."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn, TypeAlias

from openkcm_client.names import check_name
from openkcm_client.refused import NotAuthenticated

ALL_VERBS: Final = ("encrypt", "decrypt")
_MAX_TOKEN_CHARACTERS: Final = 16_384

Where: TypeAlias = str | Path


class _Kept:
    """Holds what is not to be copied into a file or another process by accident."""

    __slots__ = ()

    def __reduce__(self) -> NoReturn:
        raise TypeError("credentials are not copied or pickled")


class StaticToken(_Kept):
    """A region's own token, as the tenant's home page shows one: good for 15 minutes, for trying things out."""

    __slots__ = ("_token",)

    def __init__(self, token: str) -> None:
        self._token = checked_token(token)

    def token(self) -> str:
        return self._token

    def __repr__(self) -> str:
        return "StaticToken(...)"


class _Exchanged(_Kept):
    """A registered caller, who exchanges a proof for the region's token."""

    __slots__ = ("caller", "verbs")

    def __init__(self, caller: str, verbs: tuple[str, ...]) -> None:
        self.caller = check_name(caller, what="caller")
        self.verbs = tuple(verbs)

    def assertion(self) -> str:
        """What is sent to be exchanged. May read a file: not for an event loop."""
        return ""

    def files(self) -> tuple[Path, Path] | None:
        """Certificate and key of the connection, where they are the proof."""
        return None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(caller={self.caller!r})"


class ClientCertificate(_Exchanged):
    """The registered ``caller`` is who connects with this certificate; both files are PEM, the key without passphrase.

    The files are read again at each exchange, so whoever renews them has nothing else to do.
    """

    __slots__ = ("_certificate", "_key")

    def __init__(
        self, certificate: Where, key: Where, *, caller: str, verbs: tuple[str, ...] = ALL_VERBS
    ) -> None:
        super().__init__(caller, verbs)
        self._certificate, self._key = Path(certificate), Path(key)

    def files(self) -> tuple[Path, Path]:
        return self._certificate, self._key


class WorkloadToken(_Exchanged):
    """The registered ``caller`` is who holds this OIDC token, of audience ``openkcm:REGION:TENANT``.

    ``source`` is a file that somebody keeps fresh, such as a projected token of a Kubernetes service account, or a
    function that answers the token; it is asked anew at each exchange.
    """

    __slots__ = ("_source",)

    def __init__(
        self, source: Where | Callable[[], str], *, caller: str, verbs: tuple[str, ...] = ALL_VERBS
    ) -> None:
        super().__init__(caller, verbs)
        self._source = source

    def assertion(self) -> str:
        """The token of this moment.

        Raises:
            NotAuthenticated: the file cannot be read, or holds no token.
        """
        if callable(self._source):
            return checked_token(self._source())
        try:
            return checked_token(Path(self._source).read_text(encoding="ascii"))
        except (OSError, UnicodeDecodeError):
            raise NotAuthenticated(
                f"The workload's token could not be read from {self._source}.",
                code="token-unreadable",
                remedy="Look whether the file is there, readable, and holds a token.",
                who="operator",
            ) from None


Credentials: TypeAlias = StaticToken | ClientCertificate | WorkloadToken


def checked_token(token: str) -> str:
    """The token, fit to stand in a header.

    Raises:
        NotAuthenticated: it is none.
    """
    token = token.strip() if isinstance(token, str) else ""
    if not token or len(token) > _MAX_TOKEN_CHARACTERS or not all("!" <= letter <= "~" for letter in token):
        raise NotAuthenticated(
            "There is no token where one should be.",
            code="token-unreadable",
            remedy="Give the token as it was issued.",
            who="application",
        )
    return token


def tls(ca: Where | None, files: tuple[Path, Path] | None) -> ssl.SSLContext:
    """TLS towards a region: verified by ``ca`` (PEM), or by the machine's authorities; with a client certificate.

    Raises:
        NotAuthenticated: a file is missing or not what it should be.
    """
    try:
        context = ssl.create_default_context(cafile=str(ca) if ca is not None else None)
        if files is not None:
            # A key with a passphrase would ask for it on the terminal; b"" fails instead.
            context.load_cert_chain(str(files[0]), str(files[1]), password=b"")
    except (OSError, ssl.SSLError, ValueError):
        named = ", ".join(str(file) for file in (ca, *(files or ())) if file is not None)
        raise NotAuthenticated(
            f"Certificate, key or authorities could not be read from {named}.",
            code="certificate-unreadable",
            remedy="Look whether the files are there, readable, PEM, and belong together.",
            who="operator",
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
