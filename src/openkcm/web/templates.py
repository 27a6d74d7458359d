"""The Jinja environment of pages and mails: a missing name is an error, what is not markup is escaped."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from openkcm.kernel.commands import command
from openkcm.web import assets, figures, paths
from openkcm.web.key_shape import key_shape
from openkcm.web.people import asker

_PACKAGE: Final = Path(__file__).parents[1]


def folder() -> Path:
    """Where the templates are: inside the installed wheel, else beside ``src`` in a checkout."""
    installed = _PACKAGE / "_data" / "templates"
    return installed if installed.is_dir() else _PACKAGE.parents[1] / "templates"


@cache
def environment() -> Environment:
    """The one environment of this process.

    Macros (``parts``, ``rootparts``, ``keyparts``) are globals: a block that is rendered alone does not run its
    template's imports.
    """
    made = Environment(
        loader=FileSystemLoader(folder()),
        undefined=StrictUndefined,
        autoescape=select_autoescape(enabled_extensions=("html",), default=False),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )
    made.globals |= {"at": paths, "asset": assets.address, "key_shape": key_shape, "command": command}
    made.filters |= {
        "number": figures.number,
        "counted": figures.counted,
        "duration": figures.duration,
        "whole_seconds": figures.whole_seconds,
        "date": figures.date,
        "minute": figures.minute,
        "instant": figures.instant,
        "date_element": figures.date_element,
        "minute_element": figures.minute_element,
        "second_element": figures.second_element,
        "instant_element": figures.instant_element,
        "joined": figures.joined,
        "at_most": figures.at_most,
        "asker": asker,
    }
    made.globals["parts"] = made.get_template("parts.html").module
    made.globals["rootparts"] = made.get_template("dashboard/root_parts.html").module
    made.globals["keyparts"] = made.get_template("dashboard/key_parts.html").module
    return made


def render(template: str, names: dict[str, object], *, block: str | None = None) -> str:
    """The whole template, or one block of it alone, as text. Raises ``KeyError`` for a block that it has not."""
    found = environment().get_template(template)
    if block is None:
        return found.render(names)
    return "".join(found.blocks[block](found.new_context(names)))
