"""PATCH in its kinds: JSON merge patch, JSON patch and server-side apply."""

from __future__ import annotations

from typing import Any

from tests.kcp.emulator import answers
from tests.kcp.emulator.answers import Answer, Refused
from tests.kcp.emulator.apply import check_conflicts, dropped, merge_applied
from tests.kcp.emulator.objects import Json, decode, encode
from tests.kcp.emulator.writes import Place, create, replace

JSON_PATCH, MERGE_PATCH = "application/json-patch+json", "application/merge-patch+json"
APPLY, STRATEGIC = "application/apply-patch+yaml", "application/strategic-merge-patch+json"
_KUBERNETES = ("", "rbac.authorization.k8s.io")


def merge(target: object, change: object) -> object:
    """RFC 7386."""
    if not isinstance(change, dict):
        return change
    made = dict(target) if isinstance(target, dict) else {}
    for name, value in change.items():
        if value is None:
            made.pop(name, None)
        else:
            made[name] = merge(made.get(name), value)
    return made


def json_patch(target: Any, operations: list[Json]) -> Any:  # noqa: ANN401 - JSON may be anything
    """RFC 6902. Raises LookupError, TypeError or ValueError where an operation cannot be done."""
    document = decode(encode(target))
    for operation in operations:
        kind, path = operation["op"], operation["path"]
        if kind == "test":
            if _at(document, path) != operation["value"]:
                raise ValueError(path)
        elif kind == "remove":
            _remove(document, path)
        elif kind in ("add", "replace"):
            document = _set(document, path, operation["value"], insert=kind == "add")
        elif kind in ("move", "copy"):
            value = _at(document, operation["from"])
            if kind == "move":
                _remove(document, operation["from"])
            document = _set(document, path, decode(encode(value)), insert=True)
        else:
            raise ValueError(kind)
    return document


def _steps(path: str) -> list[str]:
    if path and not path.startswith("/"):
        raise ValueError(path)
    return [step.replace("~1", "/").replace("~0", "~") for step in path.split("/")[1:]]


def _step(document: Any, step: str) -> Any:  # noqa: ANN401 - JSON may be anything
    return document[int(step)] if isinstance(document, list) else document[step]


def _at(document: Any, path: str) -> Any:  # noqa: ANN401 - JSON may be anything
    for step in _steps(path):
        document = _step(document, step)
    return document


def _remove(document: Any, path: str) -> None:  # noqa: ANN401 - JSON may be anything
    *way, last = _steps(path)
    for step in way:
        document = _step(document, step)
    del document[int(last) if isinstance(document, list) else last]


def _set(document: Any, path: str, value: object, *, insert: bool) -> Any:  # noqa: ANN401 - JSON may be anything
    if not path:
        return value
    *way, last = _steps(path)
    parent = document
    for step in way:
        parent = _step(parent, step)
    if isinstance(parent, list):
        index = len(parent) if last == "-" else int(last)
        if insert:
            if not 0 <= index <= len(parent):
                raise IndexError(path)
            parent.insert(index, value)
        else:
            parent[index] = value
    else:
        if not insert and last not in parent:
            raise KeyError(path)
        parent[last] = value
    return document


def _unprocessable() -> Refused:
    message = "the server rejected our request due to an error in our request"
    return Refused(answers.failure(422, "Invalid", message, {}))


def patch(
    place: Place, name: str, content_type: str, raw: bytes, query: dict[str, str], *, status: bool = False
) -> Answer:
    """The object is as the patch makes it."""
    kind = content_type.partition(";")[0].strip()
    accepted = [JSON_PATCH, MERGE_PATCH, APPLY]
    if place.resource.group in _KUBERNETES:
        accepted.insert(2, STRATEGIC)
    if kind not in accepted:
        raise answers.unsupported(*accepted)
    dry = query.get("dryRun") == "All"
    if kind == APPLY:
        return _apply(place, name, raw, query, status=status, dry=dry)
    stored = place.find(name)
    try:
        change = decode(raw)
    except ValueError as wrong:
        raise answers.bad_request(f"error decoding patch: {wrong}") from wrong
    if kind == JSON_PATCH:
        try:
            body = json_patch(stored.obj, change)
        except (LookupError, TypeError, ValueError) as wrong:
            raise _unprocessable() from wrong
    else:
        if not isinstance(change, dict):
            raise answers.bad_request("error decoding patch: not an object")
        body = merge(stored.obj, change)
    body["metadata"].setdefault("resourceVersion", str(stored.rv))
    return Answer(200, replace(place, stored, body, status=status, dry=dry) + b"\n")


def _apply(place: Place, name: str, raw: bytes, query: dict[str, str], *, status: bool, dry: bool) -> Answer:
    manager = query.get("fieldManager", "")
    if not manager:
        message = "Required value: is required for apply patch"
        raise answers.invalid(
            "meta.k8s.io", "PatchOptions", "", "fieldManager", "FieldValueRequired", message
        )
    wanted = _yaml(raw)
    metadata = wanted.setdefault("metadata", {})
    if metadata.setdefault("name", name) != name:
        raise answers.bad_request("the name of the object does not match the name on the URL")
    if metadata.pop("managedFields", None):
        raise answers.bad_request("metadata.managedFields must be nil")
    stored = place.shard.get(place.resource.key, place.key(name))
    if stored is None:
        return Answer(201, create(place, wanted, applied={manager: decode(encode(wanted))}).raw + b"\n")
    if query.get("force") != "true":
        check_conflicts(place.resource, stored, manager, wanted)
    body = stored.obj
    dropped(body, stored, manager, wanted)
    body = merge_applied(body, wanted)
    applied = {**stored.applied, manager: wanted}
    done = replace(place, stored, body, status=status, applied=applied, dry=dry)
    return Answer(200, done + b"\n")


def _yaml(raw: bytes) -> Json:
    try:
        wanted = decode(raw)
    except ValueError:
        import yaml  # noqa: PLC0415 - only where somebody sends YAML

        try:
            wanted = yaml.safe_load(raw)
        except yaml.YAMLError as wrong:
            raise answers.bad_request(f"error decoding YAML: {wrong}") from wrong
    if not isinstance(wanted, dict):
        raise answers.bad_request("error decoding YAML: not an object")
    return wanted
