"""The ways to customers' root keys: a document's connection, its secrets opened here, becomes a guarded store."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import sha256
from typing import Final

from openkcm.catalog.load import key_store_plugin
from openkcm.crypto.connection import DesiredConnection, secret_context
from openkcm.crypto.hosts.guard import GuardedStore
from openkcm.crypto.hosts.stores import GuardedStores
from openkcm.crypto.view import View
from openkcm.parties.identity import Identity
from openkcm.parties.labels import Sealed
from openkcm.sdk.key_store import Connection
from openkcm.sdk.refusals import Permanent, Refusal, Refused, Remedy
from openkcm_client.enc import enc

MOST: Final = 10_000
_PAGE: Final = "reference/key-stores#credentials"


class Way:
    """One connection, ready to be asked. ``identity`` tells the credentials, whoever else uses them."""

    __slots__ = ("connection", "identity", "plugin", "store")

    def __init__(self, plugin: str, connection: Connection, store: GuardedStore) -> None:
        self.plugin = plugin
        self.connection = connection
        self.store = store
        told = [part for pair in sorted(connection.secrets.items()) for part in pair]
        # Without credentials of its own it is asked as whoever this process is: all those may make one mistake.
        self.identity = sha256(enc(plugin, *told)).hexdigest()


class Ways:
    """Every way that this process has opened; credentials are opened once for each version of a connection."""

    def __init__(self, region: str, identity: Identity, stores: GuardedStores) -> None:
        self._region = region
        self._identity = identity
        self._stores = stores
        self._open: OrderedDict[tuple[str, str], tuple[DesiredConnection, Way]] = OrderedDict()

    def at(self, view: View, connection: str) -> Way:
        """The way that the tenant's document says.

        Raises:
            Permanent: KEY_STORE_DOUBTFUL; the document does not say it, or its secrets do not open here.
        """
        said = next((one for one in view.desired.connections if one.id == connection), None)
        if said is None:
            raise _doubtful(
                f"The document of tenant '{view.tenant}' does not say how its root key is reached."
            )
        name = view.tenant, connection
        known = self._open.get(name)
        if known is not None and known[0] == said:
            self._open.move_to_end(name)
            return known[1]
        way = self.open(view.tenant, said)
        self._open[name] = (said, way)
        if len(self._open) > MOST:
            self._close(self._open.popitem(last=False)[1][1])
        return way

    def open(self, tenant: str, said: DesiredConnection, *, beside: str = "") -> Way:
        """A way to this root key that is kept nowhere; ``beside`` keeps it apart from the one in use.

        Raises:
            Permanent: KEY_STORE_DOUBTFUL; its secrets do not open here.
        """
        connection = Connection(
            id=f"{tenant}.{said.id}{beside}",
            tenant=tenant,
            answers=said.answers,
            secrets=self._opened(tenant, said),
            subject=said.subject,
        )
        try:
            plugin = key_store_plugin(said.plugin)
            return Way(plugin, connection, self._stores.at(plugin, connection))
        except ValueError:
            raise _doubtful(
                "The answers of this connection are longer than a key store can be given."
            ) from None

    def close(self, way: Way) -> None:
        """Nothing of a way that ``open`` gave is left."""
        self._close(way)

    def forget(self, tenant: str, but: frozenset[str] = frozenset()) -> None:
        """Of this tenant no way is open but these."""
        for name in [name for name in self._open if name[0] == tenant and name[1] not in but]:
            self._close(self._open.pop(name)[1])

    def _close(self, way: Way) -> None:
        self._stores.forget(way.plugin, way.connection.id)

    def _opened(self, tenant: str, said: DesiredConnection) -> dict[str, str]:
        opened: dict[str, str] = {}
        for secret in said.secrets:
            if secret.region != self._region:
                continue
            context = secret_context(said, region=self._region, tenant=tenant, field=secret.field)
            try:
                raw = self._identity.sealing.open(secret.sealed, Sealed.CREDENTIAL, *context)
                opened[secret.field] = raw.decode()
            except (Refused, UnicodeDecodeError):
                raise _doubtful(
                    f"The answer '{secret.field}' of connection {said.id} was not sealed to this region's key, or for "
                    "another address."
                ) from None
        return opened


def _doubtful(words: str) -> Permanent:
    return Permanent(
        Refusal.KEY_STORE_DOUBTFUL,
        words,
        remedy=Remedy("Enter the connection's secrets again.", "owner", _PAGE),
    )
