"""Label and field selectors, as query parameters carry them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from tests.kcp.emulator.answers import bad_request
from tests.kcp.emulator.store import Key

Labels = Mapping[str, str]
Matches = Callable[[Labels, Key], bool]

_IN = re.compile(r"^\s*(?P<key>\S+)\s+(?P<not>not)?in\s*\((?P<values>[^)]*)\)\s*$")
_EQUALS = re.compile(r"^\s*(?P<key>[^=!\s]+)\s*(?P<operator>==|=|!=)\s*(?P<value>[^=!\s]*)\s*$")
_HAS = re.compile(r"^\s*(?P<not>!?)\s*(?P<key>[A-Za-z0-9][^=!\s]*)\s*$")
_COMMA = re.compile(r",(?![^(]*\))")


def _requirement(text: str) -> Callable[[Labels], bool]:
    if found := _IN.match(text):
        key, values = found["key"], {value.strip() for value in found["values"].split(",")}
        if found["not"]:
            return lambda labels: labels.get(key) not in values
        return lambda labels: labels.get(key) in values
    if found := _EQUALS.match(text):
        key, value = found["key"], found["value"]
        if found["operator"] == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if found := _HAS.match(text):
        key = found["key"]
        if found["not"]:
            return lambda labels: key not in labels
        return lambda labels: key in labels
    raise bad_request(f"unable to parse requirement: {text!r}")


def parse(label_selector: str, field_selector: str) -> Matches:
    """Whether an object with these labels and this key is meant; 400 for what cannot be understood."""
    wanted = [_requirement(part) for part in _COMMA.split(label_selector) if part.strip()]
    name: str | None = None
    namespace: str | None = None
    for part in filter(None, field_selector.split(",")):
        field, _, value = part.replace("==", "=").partition("=")
        if field == "metadata.name":
            name = value
        elif field == "metadata.namespace":
            namespace = value
        else:
            raise bad_request(f"field label not supported: {field}")

    def matches(labels: Labels, key: Key) -> bool:
        if name is not None and key[2] != name:
            return False
        if namespace is not None and key[1] != namespace:
            return False
        return all(holds(labels) for holds in wanted)

    return matches


def match_labels(selector: Mapping[str, object], labels: Labels) -> bool:
    """Whether the selector of a permission claim takes an object with these labels."""
    if selector.get("matchAll"):
        return True
    wanted = selector.get("matchLabels")
    return isinstance(wanted, dict) and all(labels.get(key) == value for key, value in wanted.items())
