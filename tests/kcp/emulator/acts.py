"""What kcp's admin does, without HTTP: objects created, changed, looked at and deleted in any workspace."""

from __future__ import annotations

from collections.abc import Callable

from tests.kcp.emulator.access import User
from tests.kcp.emulator.objects import BUILT_IN, Json, Resource, decode, encode
from tests.kcp.emulator.store import Stored
from tests.kcp.emulator.world import World
from tests.kcp.emulator.writes import Place, create, delete, replace


class Acts:
    """Workspaces are named by path or ID, kinds by their plural or by ``plural.group``."""

    def __init__(self, world: World, user: User) -> None:
        self.world, self.user = world, user

    def kind(self, cluster: str, plural: str) -> Resource:
        """The kind as this workspace serves it. Raises LookupError where it does not."""
        for kind in self._kinds(cluster):
            if plural in (kind.plural, kind.qualified):
                return kind
        raise LookupError(f"{cluster} serves no {plural}")

    def place(self, cluster: str, kind: Resource, namespace: str = "") -> Place:
        found = self.world.resolve(cluster)
        assert found is not None, cluster
        shard = self.world.home(found)
        return Place(self.world, shard, kind, found, namespace, self.user.name, self.user.as_owner)

    def create(self, cluster: str, body: Json, namespace: str = "") -> Json:
        """The object as it is stored."""
        wanted = (body["kind"], body["apiVersion"].rpartition("/")[0])
        kind = next((one for one in self._kinds(cluster) if (one.kind, one.group) == wanted), None)
        if kind is None:
            raise LookupError(f"{cluster} serves no {wanted}")
        return create(self.place(cluster, kind, namespace), decode(encode(body))).obj

    def get(self, cluster: str, plural: str, name: str, namespace: str = "") -> Json | None:
        place = self.place(cluster, self.kind(cluster, plural), namespace)
        stored = place.shard.get(place.resource.key, place.key(name))
        return stored.obj if stored else None

    def find(self, cluster: str, plural: str) -> list[Json]:
        """All objects of the kind in this workspace."""
        place = self.place(cluster, self.kind(cluster, plural))
        table = place.shard.table(place.resource.key)
        held: list[Stored] = list(table.within(place.cluster))
        return [stored.obj for stored in held]

    def edit(
        self, cluster: str, plural: str, name: str, change: Callable[[Json], None], *, status: bool = False
    ) -> None:
        """The object is as ``change`` leaves it, or its status is."""
        place = self.place(cluster, self.kind(cluster, plural))
        stored = place.find(name)
        body = stored.obj
        change(body)
        replace(place, stored, body, status=status)

    def delete(self, cluster: str, plural: str, name: str, namespace: str = "") -> None:
        """Gone, or marked for deletion."""
        place = self.place(cluster, self.kind(cluster, plural), namespace)
        delete(place, place.find(name))

    def _kinds(self, cluster: str) -> list[Resource]:
        return [*BUILT_IN.values(), *self.world.bound.get(self.world.resolve(cluster) or "", {}).values()]
