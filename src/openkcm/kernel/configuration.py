"""Settings from a file and the environment into frozen structs, each value with the place it came from.

Order: the default, then the TOML file, then the environment (``OPENKCM_<GROUP>__<FIELD>``). What nobody knows is
refused with the nearest name: a setting that is silently not read is worse than a process that does not start.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import msgspec

from openkcm.kernel.log import redact
from openkcm.sdk.refusals import Permanent, Refusal, Remedy

PREFIX = "OPENKCM_"
FREE = "plugins"
"""The one group whose fields are not ours: ``[plugins.NAME]``, text by name."""
DEFAULT = "default"

S = TypeVar("S", bound=msgspec.Struct)
Groups = Mapping[str, type[msgspec.Struct]]


@dataclass(frozen=True, slots=True)
class Given:
    """One value as somebody gave it, and where."""

    value: object
    source: str
    text: bool
    """Whether it is text that stands for a value of another type (from the environment)."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A setting as it may be shown: secrets are redacted."""

    name: str
    value: str
    source: str


def gather(groups: Groups, *, environ: Mapping[str, str], file: Path | None) -> dict[str, dict[str, Given]]:
    """Everything that was given, by group and field; plugins' under ``plugins.NAME``.

    Raises:
        Permanent: SETTING_INVALID for a file that cannot be read and for names that do not exist.
    """
    known = {f"{group}.{field}" for group, struct in groups.items() for field in _fields(struct)}
    given: dict[str, dict[str, Given]] = {}
    for name, value in _from_file(file) if file else ():
        _place(given, name, Given(value, str(file), text=False), known, groups)
    for variable, text in sorted(environ.items()):
        if "__" in variable and variable.startswith(PREFIX):
            name = variable.removeprefix(PREFIX).lower().replace("__", ".")
            _place(given, name, Given(text, variable, text=True), known, groups)
        elif variable.startswith(PREFIX) and (meant := _single_underscore(variable, known)):
            raise _unknown(variable, variable, [meant])
    return given


def build(group: str, struct: type[S], given: Mapping[str, Given]) -> S:
    """The group's struct, every value of its type.

    Raises:
        Permanent: SETTING_MISSING or SETTING_INVALID, naming the setting and where its value came from.
    """
    values: dict[str, object] = {}
    for field in msgspec.structs.fields(struct):
        found = given.get(field.name)
        if found is not None:
            values[field.name] = _converted(f"{group}.{field.name}", field.type, found)
        elif field.required:
            raise missing(f"{group}.{field.name}")
    try:
        return struct(**values)
    except ValueError as wrong:
        places = sorted({found.source for name, found in given.items() if name in str(wrong)})
        raise _invalid(f"[{group}] {wrong} (from {', '.join(places) or 'the defaults'}).") from wrong


def shown(group: str, struct: msgspec.Struct, given: Mapping[str, Given]) -> list[Shown]:
    """Each setting of the group with its source, in the order of the struct, secrets redacted."""
    return [
        Shown(
            f"{group}.{field}",
            _show(getattr(struct, field), field),
            given[field].source if field in given else DEFAULT,
        )
        for field in _fields(type(struct))
    ]


def shown_free(name: str, given: Mapping[str, Given]) -> list[Shown]:
    """The same for one plugin's settings."""
    return [
        Shown(f"{FREE}.{name}.{field}", _show(found.value, field), found.source)
        for field, found in given.items()
    ]


def missing(name: str) -> Permanent:
    """The refusal of a process that cannot start without this setting."""
    group, _, field = name.partition(".")
    return Permanent(
        Refusal.SETTING_MISSING,
        f"The setting {name} is needed here and is not set.",
        remedy=Remedy(
            f"Set {variable_of(name)}, or {field} under [{group}] in the settings file (OPENKCM_CONFIG).",
            "operator",
            "reference/settings",
        ),
    )


def variable_of(name: str) -> str:
    """The environment variable of a setting ``group.field``."""
    return PREFIX + name.replace(".", "__").upper()


def _fields(struct: type[msgspec.Struct]) -> tuple[str, ...]:
    return struct.__struct_fields__


def _from_file(file: Path) -> list[tuple[str, object]]:
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise _invalid(f"The settings file {file} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _invalid(f"The settings file {file} is no TOML: {error}.") from error
    found: list[tuple[str, object]] = []
    for group, fields in document.items():
        if not isinstance(fields, dict):
            raise _invalid(
                f"{file} has {group} outside any group; settings stand under a heading such as [web]."
            )
        for field, value in fields.items():
            if group != FREE:
                found.append((f"{group}.{field}", value))
            elif isinstance(value, dict):
                found += [(f"{FREE}.{field}.{name}", inner) for name, inner in value.items()]
            else:
                raise _invalid(
                    f"{file} has {field} under [{FREE}]; a plugin's settings stand under [{FREE}.NAME]."
                )
    return found


def _place(
    given: dict[str, dict[str, Given]], name: str, value: Given, known: set[str], groups: Groups
) -> None:
    group, _, field = name.partition(".")
    if group == FREE:
        plugin, _, field = field.partition(".")
        if value.text:
            plugin = plugin.replace(
                "_", "-"
            )  # a shell sets no variable with a hyphen; plugins' names have them
        if not plugin or not field or "." in field:
            raise _invalid(f"{value.source} names {name}; a plugin's setting is {FREE}.NAME.FIELD.")
        if isinstance(value.value, bool):
            value = Given("true" if value.value else "false", value.source, text=True)
        elif isinstance(value.value, int | float | str):
            value = Given(str(value.value), value.source, text=True)
        else:
            raise _invalid(f"{name} (from {value.source}) is not text, a number, true or false.")
        given.setdefault(f"{FREE}.{plugin}", {})[field] = value
        return
    if name not in known:
        fields = _fields(groups[group]) if group in groups else ()
        near = difflib.get_close_matches(name, sorted(known), n=1)
        near = [
            f"{group}.{each}" for each in difflib.get_close_matches(field, fields, n=1, cutoff=0.4)
        ] or near
        raise _unknown(name, value.source, near)
    given.setdefault(group, {})[field] = value


def _single_underscore(variable: str, known: set[str]) -> str:
    # OPENKCM_WEB_BIND is a slip of the pen; OPENKCM_PORT is what Kubernetes sets for a service of our name.
    plain = variable.removeprefix(PREFIX).lower()
    return next((name for name in known if name.replace(".", "_") == plain), "")


def _unknown(name: str, source: str, near: list[str]) -> Permanent:
    hint = f" Did you mean {near[0]} ({variable_of(near[0])})?" if near else ""
    place = "" if source == name else f" (from {source})"
    return _invalid(f"There is no setting {name}{place}.{hint}")


def _converted(name: str, kind: Any, given: Given) -> object:  # noqa: ANN401  # a type of typing's, as msgspec has it
    try:
        value = _structured(given.value, kind) if given.text and isinstance(given.value, str) else given.value
        return msgspec.convert(value, kind, strict=not given.text, dec_hook=_path)
    except (
        msgspec.MsgspecError,
        ValueError,
    ):  # msgspec's own words speak of its types, and may quote a secret
        raise _invalid(f"The setting {name} (from {given.source}) is not {_words(kind)}.") from None


def _words(kind: Any) -> str:  # noqa: ANN401  # a type of typing's, as msgspec has it
    """What a value of this type is to who writes it."""
    if get_origin(kind) is tuple:
        item = get_args(kind)[0]
        if isinstance(item, type) and issubclass(item, msgspec.Struct):
            return f"a list of tables with {', '.join(_fields(item))}"
        return "a list of text"
    wanted = next((each for each in get_args(kind) if each is not type(None)), kind)
    return {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "text",
        Path: "a path, as text",
    }.get(wanted, "of the right form")


def _structured(text: str, kind: Any) -> object:  # noqa: ANN401  # a type of typing's, as msgspec has it
    """Lists in the environment: JSON where it looks so, else separated by commas; empty text is no value."""
    if get_origin(kind) is tuple:
        if text.lstrip().startswith("["):
            return msgspec.json.decode(text)
        return [part.strip() for part in text.split(",") if part.strip()]
    if text == "" and type(None) in get_args(kind):
        return None
    return text


def _path(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str):
        return Path(value).expanduser()
    raise ValueError("a path is text")


def _show(value: object, name: str) -> str:
    if isinstance(value, tuple) and value and isinstance(value[0], msgspec.Struct):
        return ", ".join(str(getattr(item, "name", "…")) for item in value)
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return "" if value is None else str(redact(str(value) if isinstance(value, Path) else value, name))


def _invalid(message: str) -> Permanent:
    return Permanent(
        Refusal.SETTING_INVALID,
        message,
        remedy=Remedy(
            "Correct it; 'openkcm doctor' prints every setting with its source.",
            "operator",
            "reference/settings",
        ),
    )
