"""Server-side apply with the least there must be of ownership: what a manager applied is its, until it leaves it out.

Only what was applied has an owner here; plain updates take nothing away. ``managedFields`` are not shown.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.kcp.emulator.answers import Refused, failure
from tests.kcp.emulator.objects import Json, Resource
from tests.kcp.emulator.store import Stored

Path = tuple[str, ...]
_UNOWNED = {("apiVersion",), ("kind",), ("metadata", "name"), ("metadata", "namespace")}


def leaves(value: Json, before: Path = ()) -> Iterator[tuple[Path, object]]:
    """Every field that is no map, by its path. A list is one field."""
    for name, inner in value.items():
        path = (*before, name)
        if isinstance(inner, dict) and inner:
            yield from leaves(inner, path)
        elif path not in _UNOWNED:
            yield path, inner


def check_conflicts(resource: Resource, stored: Stored, manager: str, wanted: Json) -> None:
    """Raises 409 where another manager has applied something else."""
    mine = dict(leaves(wanted))
    causes = []
    for other, applied in stored.applied.items():
        if other == manager:
            continue
        for path, value in leaves(applied):
            if path in mine and mine[path] != value:
                field = "." + ".".join(path)
                causes.append(
                    {"reason": "FieldManagerConflict", "message": f'conflict with "{other}"', "field": field}
                )
    if not causes:
        return
    fields = "\n".join(f"- {cause['field']}" for cause in causes)
    count = f"{len(causes)} conflict" + ("s" if len(causes) > 1 else "")
    message = f"Apply failed with {count}: {causes[0]['message']}:\n{fields}"
    details: Json = {
        "name": stored.key[2],
        "group": resource.group,
        "kind": resource.plural,
        "causes": causes,
    }
    raise Refused(failure(409, "Conflict", message, details))


def dropped(body: Json, stored: Stored, manager: str, wanted: Json) -> None:
    """What the manager applied before and leaves out now is gone, unless another manager applied it too."""
    held = {path for other, value in stored.applied.items() if other != manager for path, _ in leaves(value)}
    kept = {path for path, _ in leaves(wanted)}
    for path, _ in leaves(stored.applied.get(manager, {})):
        if path in kept or path in held:
            continue
        parent: object = body
        for step in path[:-1]:
            parent = parent.get(step) if isinstance(parent, dict) else None
        if isinstance(parent, dict):
            parent.pop(path[-1], None)


def merge_applied(body: Json, wanted: Json) -> Json:
    """Maps are merged, all else is replaced."""
    for name, value in wanted.items():
        if isinstance(value, dict) and isinstance(body.get(name), dict):
            merge_applied(body[name], value)
        else:
            body[name] = value
    return body
