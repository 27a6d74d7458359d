"""The documents of one file: bounded parsing of YAML and JSON, with the line at which each begins or breaks.

Plain YAML scalars stay as they are written (``1e5`` or ``2026-01-01`` is text), but for null and the booleans: a
manifest's ids are text, and guessing types would change them. Aliases are refused, so that no file grows in memory
beyond its own size; so are keys given twice, of which one would silently win.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import yaml

MAX_DEPTH = 64
MAX_DOCUMENTS = 10_000
_PARSER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_WORDS: Mapping[str, object] = {
    "": None,
    "~": None,
    "null": None,
    "Null": None,
    "NULL": None,
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}
_TAGS = frozenset({None, "!", "tag:yaml.org,2002:str", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})
_EMPTY = object()
_Tagged = yaml.ScalarEvent | yaml.MappingStartEvent | yaml.SequenceStartEvent


class Unparsable(Exception):
    """The text is no sequence of documents; ``line`` counts from 1."""

    def __init__(self, reason: str, line: int | None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line


class TooManyDocuments(Unparsable):
    """There are more than ``MAX_DOCUMENTS``; what comes after the one too many was not looked at."""

    def __init__(self, line: int | None) -> None:
        super().__init__(f"The file has more than {MAX_DOCUMENTS:,} documents; none of them was used.", line)


@dataclass(frozen=True, slots=True)
class Document:
    """One document: what it holds, and the line it begins at."""

    value: object
    line: int


def documents_of(content: bytes, *, is_json: bool) -> list[Document]:
    """Every document of a file, empty ones left out.

    Raises:
        Unparsable: the whole file is refused at its first mistake, since nobody knows what the writer meant.
        TooManyDocuments: likewise; half of them would leave the other half looking as if it were gone.
    """
    found: list[Document] = []
    for document in _json_documents(content) if is_json else _yaml_documents(content):
        if len(found) == MAX_DOCUMENTS:
            raise TooManyDocuments(document.line)
        found.append(document)
    return found


def _json_documents(content: bytes) -> Iterator[Document]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        raise Unparsable("The file is not UTF-8 text.", content.count(b"\n", 0, wrong.start) + 1) from None
    at, line, counted = 0, 1, 0
    decoder = json.JSONDecoder(object_pairs_hook=_once)
    while True:
        at = _past_white_space(text, at)
        if at == len(text):
            return
        line, counted = line + text.count("\n", counted, at), at
        try:
            value, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError as wrong:
            raise Unparsable(f"The file is not JSON: {wrong.msg}.", wrong.lineno) from None
        except Unparsable as wrong:
            raise Unparsable(wrong.reason, line) from None
        except RecursionError:
            raise Unparsable("The file is nested too deeply.", line) from None
        except ValueError:
            raise Unparsable("The file is not JSON: a number is too long.", line) from None
        yield Document(value, line)


def _past_white_space(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise Unparsable(f"The key {ascii(key)[:80]} is given twice.", None)
        found[key] = value
    return found


def _yaml_documents(content: bytes) -> Iterator[Document]:
    loader = _PARSER(content)
    try:
        builder = _Builder()
        for event in iter(loader.get_event, None):
            if isinstance(event, yaml.DocumentEndEvent):
                document = builder.finish()
                if document.value is not None:
                    yield document
            else:
                builder.take(event)
    except yaml.MarkedYAMLError as wrong:
        mark = wrong.problem_mark or wrong.context_mark
        reason = wrong.problem or wrong.context or "it breaks off"
        raise Unparsable(f"The file is not YAML: {reason}.", mark.line + 1 if mark else None) from None
    except (yaml.reader.ReaderError, UnicodeDecodeError) as wrong:
        position = wrong.position if isinstance(wrong, yaml.reader.ReaderError) else wrong.start
        line = content.count(b"\n", 0, position) + 1 if isinstance(position, int) else None
        raise Unparsable("The file is not text, or has characters that YAML does not allow.", line) from None
    except yaml.YAMLError:
        raise Unparsable("The file is not YAML.", None) from None
    finally:
        loader.dispose()


class _Builder:
    """Puts one document after the other together from the parser's events."""

    def __init__(self) -> None:
        self._stack: list[dict[str, object] | list[object]] = []
        self._keys: list[object] = []
        self._value: object = None
        self._line = 1

    def finish(self) -> Document:
        done = Document(self._value, self._line)
        self._value = None
        return done

    def take(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._add(self._scalar(event), event)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            self._open(event)
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self._stack.pop()
            self._keys.pop()
        elif isinstance(event, yaml.AliasEvent):
            raise Unparsable("YAML aliases are not supported; write the value out.", _line(event))

    def _open(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent) -> None:
        _check_tag(event)
        if len(self._stack) == MAX_DEPTH:
            raise Unparsable("The file is nested too deeply.", _line(event))
        made: dict[str, object] | list[object] = {} if isinstance(event, yaml.MappingStartEvent) else []
        self._add(made, event)
        self._stack.append(made)
        self._keys.append(_EMPTY)

    def _scalar(self, event: yaml.ScalarEvent) -> object:
        _check_tag(event)
        if event.implicit[0]:
            return _WORDS.get(event.value, event.value)
        return event.value

    def _add(self, value: object, event: yaml.Event) -> None:
        if not self._stack:
            self._value, self._line = value, _line(event)
            return
        inside = self._stack[-1]
        if isinstance(inside, list):
            inside.append(value)
        elif self._keys[-1] is _EMPTY:
            self._keys[-1] = self._key(event, inside)
        else:
            inside[str(self._keys[-1])] = value
            self._keys[-1] = _EMPTY

    def _key(self, event: yaml.Event, inside: Mapping[str, object]) -> str:
        line = _line(event)
        if not isinstance(event, yaml.ScalarEvent):
            raise Unparsable("A key is not text.", line)
        if event.value in inside:
            raise Unparsable(f"The key {ascii(event.value)[:80]} is given twice.", line)
        return event.value


def _check_tag(event: _Tagged) -> None:
    if event.tag not in _TAGS:
        raise Unparsable("YAML tags are not supported.", _line(event))


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1
