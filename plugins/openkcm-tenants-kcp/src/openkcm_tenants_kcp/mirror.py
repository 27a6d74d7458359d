"""What every endpoint shows of every logical cluster, merged: the one picture that decisions are made from."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic

from openkcm_tenants_kcp.wire import (
    ACCOUNTS,
    BINDINGS,
    CLUSTER_NAME,
    CLUSTERS,
    INFO_NAME,
    INFOS,
    TENANT_NAME,
    TENANTS,
    WORKSPACES,
    Account,
    AccountInfo,
    Binding,
    LogicalCluster,
    Read,
    Resource,
    TenantResource,
    Workspace,
)


@dataclass(frozen=True, slots=True)
class Sight:
    """One logical cluster as it is seen now. ``url`` is the endpoint through which it is read and written."""

    cluster: str
    url: str = ""
    bindings: tuple[Binding, ...] = ()
    logical: LogicalCluster | None = None
    resource: TenantResource | None = None
    info: AccountInfo | None = None

    @property
    def binding(self) -> Binding | None:
        """The binding that counts: one that is ready, else any."""
        return min(self.bindings, key=lambda each: (not each.ready, each.metadata.name), default=None)


Key = tuple[str, str]


class Table(Generic[Read]):
    """One resource of one endpoint by (cluster, name).

    ``speaks_of`` says which logical cluster has to be looked at again when an object changes; usually its own.
    """

    def __init__(
        self,
        resource: Resource[Read],
        url: str,
        mirror: Mirror,
        *,
        speaks_of: Callable[[Read], str] = lambda found: found.metadata.annotations.cluster,
    ) -> None:
        self.resource: Resource[Read] = resource
        self.url = url
        self._mirror = mirror
        self._speaks_of: Callable[[Read], str] = speaks_of
        self.of: dict[str, dict[str, Read]] = {}
        self.unreadable: set[Key] = set()

    def put(self, found: Read) -> None:
        cluster = found.metadata.annotations.cluster
        if not self._counts(found.metadata.name):
            return
        if not cluster:
            # kcp stamps every object: whose this one is cannot be read, and so nobody is missing here.
            self.unreadable.add(("", found.metadata.name))
            return
        self.unreadable.discard((cluster, found.metadata.name))
        kept = self.of.setdefault(cluster, {})
        before = kept.get(found.metadata.name)
        if before == found:
            return  # the whole object: of a kcp played back from a backup, one version may say two things
        kept[found.metadata.name] = found
        self._mirror.touch(self._speaks_of(found))

    def gone(self, found: Read) -> None:
        if isinstance(found, LogicalCluster) and found.metadata.deletion_timestamp is not None:
            self._mirror.left[found.metadata.annotations.cluster] = found
        self._drop(found.metadata.annotations.cluster, found.metadata.name)

    def replace(self, found: Sequence[Read], unreadable: Sequence[Key]) -> None:
        before = self.unreadable
        self.unreadable = {key for key in unreadable if self._counts(key[1])}
        self._mirror.wake.set()
        # What cannot be read now is there all the same: it stays as it was read last.
        there = {(each.metadata.annotations.cluster, each.metadata.name) for each in found} | self.unreadable
        lost = [
            (cluster, name)
            for cluster, kept in self.of.items()
            for name in kept
            if (cluster, name) not in there
        ]
        for cluster, name in lost:
            self._drop(cluster, name)
        for each in found:
            self.put(each)
        for cluster, _ in before ^ self.unreadable:
            self._mirror.touch(cluster)

    def at(self, cluster: str, name: str) -> Read | None:
        return self.of.get(cluster, {}).get(name)

    def _counts(self, name: str) -> bool:
        # One that has no name that could be read may be anyone's.
        return not self.resource.only or name in ("", self.resource.only)

    def _drop(self, cluster: str, name: str) -> None:
        self.unreadable.discard((cluster, name))
        kept = self.of.get(cluster, {})
        if (lost := kept.pop(name, None)) is not None:
            if not kept:
                del self.of[cluster]
            self._mirror.touch(self._speaks_of(lost))


class Endpoint:
    """What is kept of one endpoint."""

    def __init__(self, url: str, mirror: Mirror) -> None:
        self.url = url
        self.bindings: Table[Binding] = Table(BINDINGS, url, mirror)
        self.logical: Table[LogicalCluster] = Table(CLUSTERS, url, mirror)
        self.resources: Table[TenantResource] = Table(TENANTS, url, mirror)
        self.infos: Table[AccountInfo] = Table(INFOS, url, mirror)
        self.accounts: Table[Account] = Table(ACCOUNTS, url, mirror, speaks_of=mirror.child)
        self.workspaces: Table[Workspace] = Table(
            WORKSPACES, url, mirror, speaks_of=lambda found: found.cluster
        )

    @property
    def tables(self) -> tuple[Table[Any], ...]:
        return (self.bindings, self.logical, self.resources, self.infos, self.accounts, self.workspaces)

    def sight(self, cluster: str) -> Sight:
        return Sight(
            cluster,
            self.url,
            tuple(self.bindings.of.get(cluster, {}).values()),
            # By name: what else members put beside these says nothing.
            self.logical.at(cluster, CLUSTER_NAME),
            self.resources.at(cluster, TENANT_NAME),
            self.infos.at(cluster, INFO_NAME),
        )


@dataclass(slots=True)
class Mirror:
    """``changed`` holds the clusters to look at, in the order in which they changed; ``wake`` is set with the first."""

    changed: dict[str, None] = field(default_factory=dict)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    #: What deleted clusters said last, until it has been told: one may be gone before anybody looked.
    left: dict[str, LogicalCluster] = field(default_factory=dict)

    def endpoint(self, url: str) -> Endpoint:
        """The endpoint is looked at from now on."""
        return self.endpoints.setdefault(url, Endpoint(url, self))

    def forget(self, url: str) -> None:
        """The endpoint has left the slice: what it showed counts no longer, and says nothing of anybody."""
        if (endpoint := self.endpoints.pop(url, None)) is not None:
            for cluster in {*endpoint.bindings.of, *endpoint.logical.of, *endpoint.resources.of}:
                self.touch(cluster)

    def touch(self, cluster: str) -> None:
        """The cluster is looked at again; an empty name is nobody's."""
        if cluster:
            self.changed[cluster] = None
            self.wake.set()

    def take(self, most: int) -> list[str]:
        """Up to ``most`` clusters that changed, the longest waiting first; they count as looked at."""
        taken = list(itertools.islice(self.changed, most))
        for cluster in taken:
            del self.changed[cluster]
        if not self.changed:
            self.wake.clear()
        return taken

    def sight(self, cluster: str) -> Sight:
        """The cluster as all endpoints together show it. While it moves between shards, where it is ready counts."""
        sights = (each.sight(cluster) for each in self.endpoints.values())
        sight = max(sights, key=_rank, default=Sight(cluster))
        if sight.logical is None and cluster in self.left:
            return replace(sight, logical=self.left[cluster])
        return sight

    def account(self, parent: str, name: str) -> Account | None:
        """The Account of this name in the parent's workspace."""
        return next(
            (found for each in self.endpoints.values() if (found := each.accounts.at(parent, name))), None
        )

    def workspace(self, parent: str, name: str) -> Workspace | None:
        """The Workspace of this name in the parent's workspace."""
        return next(
            (found for each in self.endpoints.values() if (found := each.workspaces.at(parent, name))), None
        )

    def child(self, account: Account) -> str:
        """The logical cluster that an Account stands for; empty while its Workspace is not seen."""
        workspace = self.workspace(account.metadata.annotations.cluster, account.metadata.name)
        return workspace.cluster if workspace is not None else ""

    def unreadable(self) -> list[str]:
        """Where objects are that cannot be read, for people."""
        return [
            f"{table.resource.plural} {name} of {cluster} at {table.url}"
            for endpoint in self.endpoints.values()
            for table in endpoint.tables
            for cluster, name in sorted(table.unreadable)
        ]

    def obscured(self, cluster: str) -> bool:
        """Whether a binding that cannot be read is this cluster's, or may be."""
        return any(
            whose in ("", cluster)
            for endpoint in self.endpoints.values()
            for whose, _ in endpoint.bindings.unreadable
        )

    def clusters(self) -> set[str]:
        """Every cluster that has a binding anywhere."""
        return {cluster for endpoint in self.endpoints.values() for cluster in endpoint.bindings.of}


def _rank(sight: Sight) -> tuple[bool, bool, bool]:
    binding = sight.binding
    return (binding is not None and binding.ready, binding is not None, sight.logical is not None)
