"""Creating, replacing and deleting objects by the rules of a Kubernetes API for custom resources."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

from tests.kcp.emulator import answers
from tests.kcp.emulator.admission import admit
from tests.kcp.emulator.objects import CLUSTER, NAMESPACES, PATH, Json, Resource, decode, encode, new_uid
from tests.kcp.emulator.store import Key, Shard, Stored
from tests.kcp.emulator.world import World

_NAME = re.compile(r"[a-z0-9]([-a-z0-9:.]*[a-z0-9])?")
_KEPT = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "name")
_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a write goes and who asks."""

    world: World
    shard: Shard
    resource: Resource
    cluster: str
    namespace: str = ""
    user: str = ""
    owner: str = ""
    """The user as kcp notes it on a workspace."""

    def key(self, name: str) -> Key:
        return self.cluster, self.namespace, name

    def find(self, name: str) -> Stored:
        """The object; raises 404."""
        stored = self.shard.get(self.resource.key, self.key(name))
        if stored is None:
            raise answers.not_found(self.resource, name)
        return stored


def parse(raw: bytes) -> Json:
    try:
        body = decode(raw)
    except ValueError as wrong:
        raise answers.bad_request(f"the object provided is unrecognized (must be of type {wrong})") from wrong
    if not isinstance(body, dict):
        raise answers.bad_request("the object provided is unrecognized")
    return body


def check_kind(place: Place, body: Json) -> None:
    """The body is an object of the kind that the path means."""
    resource = place.resource
    versions = [resource.version, *resource.also]
    wanted = [f"{resource.group}/{version}" if resource.group else version for version in versions]
    if body.get("kind") != resource.kind or body.get("apiVersion") not in wanted:
        raise answers.bad_request(
            f"{body.get('apiVersion')}, Kind={body.get('kind')} cannot be handled as a {resource.kind}"
        )
    if not isinstance(body.setdefault("metadata", {}), dict):
        raise answers.bad_request("metadata must be an object")


def create(place: Place, body: Json, *, applied: dict[str, Json] | None = None) -> Stored:
    """The object exists now, with what the server alone decides; 409 where the name is taken."""
    check_kind(place, body)
    metadata, resource = body["metadata"], place.resource
    if not metadata.get("name") and (stem := metadata.get("generateName")):
        metadata["name"] = stem + "".join(secrets.choice(_SUFFIX) for _ in range(5))
    name = metadata.get("name", "")
    _check_name(resource, name)
    if metadata.get("namespace", place.namespace) != place.namespace:
        raise answers.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    if metadata.get("resourceVersion"):
        raise answers.bad_request("resourceVersion should not be set on objects to be created")
    if place.shard.get(resource.key, place.key(name)):
        raise answers.exists(resource, name)
    if lacking := _lacking_namespace(place):
        raise answers.not_found(NAMESPACES, lacking)
    for server_side in ("managedFields", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds"):
        metadata.pop(server_side, None)
    metadata |= {"uid": new_uid(), "creationTimestamp": place.world.now(), "generation": 1}
    if place.namespace:
        metadata["namespace"] = place.namespace
    if resource.status:
        body.pop("status", None)
    body["apiVersion"] = resource.api_version
    admit(place.world, place.cluster, resource, body, owner=place.owner)
    return place.shard.put(resource.key, place.key(name), body, applied=applied)


def _lacking_namespace(place: Place) -> str:
    if not place.namespace or place.namespace == "default":
        return ""
    found = place.shard.get(NAMESPACES.key, (place.cluster, "", place.namespace))
    return "" if found else place.namespace


def _check_name(resource: Resource, name: str) -> None:
    if not name:
        message = "Required value: name or generateName is required"
        raise answers.invalid(
            resource.group, resource.kind, "", "metadata.name", "FieldValueRequired", message
        )
    if len(name) > 253 or not _NAME.fullmatch(name):
        message = (
            f'Invalid value: "{name}": a lowercase RFC 1123 subdomain must consist of lower case characters'
        )
        raise answers.invalid(
            resource.group, resource.kind, name, "metadata.name", "FieldValueInvalid", message
        )


def replace(
    place: Place,
    stored: Stored,
    body: Json,
    *,
    status: bool = False,
    applied: dict[str, Json] | None = None,
    dry: bool = False,
) -> bytes:
    """The object is as ``body`` says, or its status alone is; the answer is what a client sees of it.

    The last finalizer of what is being deleted takes the object with it. What changes nothing keeps its version.
    """
    metadata = body.setdefault("metadata", {})
    _check_identity(place, stored, metadata)
    old, new = stored.obj, stored.obj
    if status:
        new["status"] = body.get("status", {})
        if not body.get("status"):
            del new["status"]
    else:
        new = _merged(place, stored, body)
        _check_finalizers(place.resource, stored, new)
        admit(place.world, place.cluster, place.resource, new, old=old)
    if new == old:
        if applied is not None and applied != stored.applied and not dry:
            place.shard.remember(place.resource.key, stored.key, applied)
        return stored.raw
    if _specified(new) != _specified(old):
        new["metadata"]["generation"] = old["metadata"].get("generation", 1) + 1
    if dry:
        return encode(new)
    if new["metadata"].get("deletionTimestamp") and not new["metadata"].get("finalizers"):
        place.shard.remove(place.resource.key, stored.key)
        return encode(new)
    return place.shard.put(place.resource.key, stored.key, new, applied=applied).raw


def _specified(obj: Json) -> Json:
    return {name: value for name, value in obj.items() if name not in ("metadata", "status")}


def _check_identity(place: Place, stored: Stored, metadata: Json) -> None:
    name = stored.key[2]
    if metadata.get("name", name) != name:
        raise answers.bad_request(
            f"the name of the object ({metadata['name']}) does not match the name on the URL ({name})"
        )
    uid = stored.obj["metadata"]["uid"]
    if metadata.get("uid", uid) != uid:
        why = f"Precondition failed: UID in precondition: {metadata['uid']}, UID in object meta: {uid}"
        raise answers.conflict(place.resource, name, why)
    version = metadata.get("resourceVersion")
    if not version:
        if place.resource.group in ("", "rbac.authorization.k8s.io"):
            return  # kinds of Kubernetes itself may be replaced unconditionally
        message = "Invalid value: 0: must be specified for an update"
        field_name = "metadata.resourceVersion"
        raise answers.invalid(
            place.resource.group, place.resource.plural, name, field_name, "FieldValueInvalid", message
        )
    if version != str(stored.rv):
        raise answers.conflict(place.resource, name)


def _merged(place: Place, stored: Stored, body: Json) -> Json:
    """What the client wants, with what the server alone decides."""
    before = stored.obj
    old = before["metadata"]
    new = {**body, "metadata": dict(body["metadata"])}
    new["kind"], new["apiVersion"] = before["kind"], before["apiVersion"]
    metadata = new["metadata"]
    for name in _KEPT:
        metadata.pop(name, None)
        if name in old:
            metadata[name] = old[name]
    metadata.pop("managedFields", None)
    metadata["resourceVersion"] = old["resourceVersion"]
    for empty in ("finalizers", "labels", "annotations", "ownerReferences"):
        if not metadata.get(empty):
            metadata.pop(empty, None)
    metadata.setdefault("annotations", {})[CLUSTER] = stored.key[0]
    if place.resource.status:
        new.pop("status", None)
        if "status" in before:
            new["status"] = before["status"]
    if PATH in metadata["annotations"]:
        metadata["annotations"][PATH] = place.world.path_of.get(stored.key[0], "")
    return new


def _check_finalizers(resource: Resource, stored: Stored, new: Json) -> None:
    metadata = stored.obj["metadata"]
    if not metadata.get("deletionTimestamp"):
        return
    added = [
        one for one in new["metadata"].get("finalizers", []) if one not in metadata.get("finalizers", [])
    ]
    if added:
        message = (
            "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers "
            f"[]string{{{', '.join(encode(one).decode() for one in added)}}}"
        )
        raise answers.invalid(
            resource.group,
            resource.kind,
            stored.key[2],
            "metadata.finalizers",
            "FieldValueForbidden",
            message,
        )


def delete(place: Place, stored: Stored, options: Json | None = None) -> bytes:
    """The object is gone, or marked for deletion as long as finalizers hold it."""
    metadata, name = stored.obj["metadata"], stored.key[2]
    wanted = (options or {}).get("preconditions") or {}
    for field_name, label, value in (
        ("uid", "UID", metadata["uid"]),
        ("resourceVersion", "ResourceVersion", metadata["resourceVersion"]),
    ):
        if wanted.get(field_name) not in (None, value):
            why = (
                f"Precondition failed: {label} in precondition: {wanted[field_name]}, "
                f"{label} in object meta: {value}"
            )
            raise answers.conflict(place.resource, name, why)
    if metadata.get("finalizers"):
        if metadata.get("deletionTimestamp"):
            return stored.raw
        new = stored.obj
        new["metadata"]["deletionTimestamp"] = place.world.now()
        new["metadata"]["deletionGracePeriodSeconds"] = 0
        new["metadata"]["generation"] = metadata.get("generation", 0) + 1
        return place.shard.put(place.resource.key, stored.key, new).raw
    place.shard.remove(place.resource.key, stored.key)
    details: Json = {"name": name}
    if place.resource.group:
        details["group"] = place.resource.group
    details |= {"kind": place.resource.plural, "uid": metadata["uid"]}
    done: Json = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    return encode(done | {"details": details})
