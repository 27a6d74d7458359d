"""What the API says when it is not an object: answers, and refusals as Kubernetes words them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.kcp.emulator.objects import Json, Resource, encode

MAX_BODY_BYTES = 3_145_728


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole response. ``headers`` come after the content type."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


class Refused(Exception):
    """The request ends with this ``Status``."""

    def __init__(self, body: Json, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(body["message"])
        self.answer = Answer(body["code"], encode(body) + b"\n", headers=headers or {})
        self.body = body


def as_json(obj: object, status: int = 200) -> Answer:
    return Answer(status, encode(obj) + b"\n")


def plain(status: int, text: str) -> Answer:
    return Answer(
        status,
        text.encode(),
        content_type="text/plain; charset=utf-8",
        headers={"X-Content-Type-Options": "nosniff"},
    )


def not_served() -> Answer:
    """What Go's router says of a path that it does not know."""
    return plain(404, "404 page not found\n")


def failure(code: int, reason: str, message: str, details: Json | None = None) -> Json:
    body: Json = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    body |= {"message": message, "reason": reason}
    if details is not None:
        body["details"] = details
    return body | {"code": code}


def torn_down() -> Json:
    """The last word of a watch in a virtual workspace whose kind is served by another schema now, or not any more."""
    cause = "unable to decode an event from the watch stream: context canceled"
    message = f'an error on the server ("{cause}") has prevented the request from succeeding'
    reasons = ("UnexpectedServerResponse", "ClientWatchDecoding")
    causes = [{"reason": reason, "message": cause} for reason in reasons]
    return failure(500, "InternalError", message, {"causes": causes})


def _of(resource: Resource, name: str = "") -> Json:
    details: Json = {"name": name} if name else {}
    if resource.group:
        details["group"] = resource.group
    return details | {"kind": resource.plural}


def not_found(resource: Resource, name: str) -> Refused:
    return Refused(failure(404, "NotFound", f'{resource.qualified} "{name}" not found', _of(resource, name)))


def unexpected_not_found() -> Refused:
    """What a client of Go makes of the router's 404, and kcp hands on."""
    causes = [{"reason": "UnexpectedServerResponse", "message": "404 page not found"}]
    message = "the server could not find the requested resource"
    return Refused(failure(404, "NotFound", message, {"causes": causes}))


def exists(resource: Resource, name: str) -> Refused:
    message = f'{resource.qualified} "{name}" already exists'
    return Refused(failure(409, "AlreadyExists", message, _of(resource, name)))


def conflict(resource: Resource, name: str, why: str = "") -> Refused:
    why = why or (
        "the object has been modified; please apply your changes to the latest version and try again"
    )
    message = f'Operation cannot be fulfilled on {resource.qualified} "{name}": {why}'
    return Refused(failure(409, "Conflict", message, _of(resource, name)))


def invalid(group: str, kind: str, name: str, field_name: str, reason: str, message: str) -> Refused:
    causes = [{"reason": reason, "message": message, "field": field_name}]
    details: Json = {"name": name} if name else {}
    details |= {"group": group, "kind": kind, "causes": causes}
    qualified = f"{kind}.{group}" if group else kind
    text = f'{qualified} "{name}" is invalid: {field_name}: {message}'
    return Refused(failure(422, "Invalid", text, details))


def bad_request(message: str) -> Refused:
    return Refused(failure(400, "BadRequest", message))


def gone(message: str) -> Refused:
    return Refused(failure(410, "Expired", message))


def unsupported(*accepted: str) -> Refused:
    types = ", ".join(accepted)
    message = f"the body of the request was in an unknown format - accepted media types include: {types}"
    return Refused(failure(415, "UnsupportedMediaType", message))


def check_json(headers: Mapping[str, str]) -> None:
    """Only JSON is understood here; a real kcp takes YAML and, for kinds of Kubernetes, protobuf too."""
    if headers.get("content-type", "application/json").partition(";")[0].strip() != "application/json":
        raise unsupported("application/json")


def too_large() -> Refused:
    return Refused(
        failure(413, "RequestEntityTooLarge", f"Request entity too large: limit is {MAX_BODY_BYTES}")
    )


def unauthorized() -> Refused:
    return Refused(failure(401, "Unauthorized", "Unauthorized"))


def method_not_allowed() -> Refused:
    message = "the server does not allow this method on the requested resource"
    return Refused(failure(405, "MethodNotAllowed", message, {}))


def forbidden(
    user: str,
    verb: str,
    resource: Resource,
    *,
    name: str = "",
    namespace: str = "",
    subresource: str = "",
    why: str = "access denied",
) -> Refused:
    plural = f"{resource.plural}/{subresource}" if subresource else resource.plural
    subject = f'{resource.qualified} "{name}"' if name else resource.qualified
    where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    message = (
        f'{subject} is forbidden: User "{user}" cannot {verb} resource "{plural}" in API group '
        f'"{resource.group}" {where}: {why}'
    )
    return Refused(failure(403, "Forbidden", message, _of(resource, name)))


def forbidden_path(user: str, verb: str, path: str, why: str = "access denied") -> Refused:
    message = f'forbidden: User "{user}" cannot {verb} path "{path}": {why}'
    return Refused(failure(403, "Forbidden", message, {}))
