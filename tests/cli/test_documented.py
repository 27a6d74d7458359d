"""The page of commands names each of them, and none that does not exist."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click

from openkcm.__main__ import commands
from openkcm.catalog.commands import announced
from tests.contracts.tree import DOCS

PAGE = (DOCS / "reference" / "cli.md").read_text()


def leaves(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield name, command
        return
    context = click.Context(command)
    for each in set(command.list_commands(context)) - announced().keys():  # a plugin's stand on its own page
        found = command.get_command(context, each)
        assert found is not None
        yield from leaves(found, f"{name} {each}")


def test_every_command_is_on_the_page_and_no_other() -> None:
    rows = re.findall(r"^\| `(openkcm [^`]+)` \|", PAGE, flags=re.MULTILINE)
    assert sorted(rows) == sorted(name for name, _ in leaves(commands, "openkcm"))


def test_every_command_says_what_it_does_and_every_option_too() -> None:
    silent = [
        f"{name} {option.name}"
        for name, command in leaves(commands, "openkcm")
        for option in command.params
        if isinstance(option, click.Option) and not option.help and not option.hidden
    ]
    assert silent == []
    assert [name for name, command in leaves(commands, "openkcm") if not command.help] == []
