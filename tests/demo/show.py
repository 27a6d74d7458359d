"""What the person sees: a live table in a terminal, plain lines anywhere else."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

_WIDTH = 20


@dataclass(slots=True)
class Line:
    """One thing that has to become true. ``at_s`` is since the story began, ``took_s`` how long it took by itself."""

    name: str
    note: str = ""
    at_s: float | None = None
    took_s: float | None = None
    failed: bool = False


@dataclass(slots=True)
class Board:
    """The lines of a story, in the order in which they are expected."""

    lines: dict[str, Line]
    began: float = field(default_factory=time.monotonic)

    @classmethod
    def of(cls, names: Sequence[str]) -> Board:
        """A board on which nothing has happened yet."""
        return cls({name: Line(name) for name in names})

    @property
    def elapsed_s(self) -> float:
        """Since the story began."""
        return time.monotonic() - self.began


class Show(Protocol):
    """How the demo speaks."""

    def say(self, words: str = "") -> None:
        """One line, now."""
        ...

    def heard(self, words: str) -> None:
        """One line of the product's own."""
        ...

    def story(self, board: Board) -> contextlib.AbstractContextManager[None]:
        """Inside, the board is shown as it changes."""
        ...

    def changed(self, line: Line) -> None:
        """The line has become true, or failed."""
        ...


class Plain:
    """A line for each thing as it happens; for files, pipes and terminals that can do no more."""

    def say(self, words: str = "") -> None:
        """One line, now."""
        print(words, flush=True)

    def heard(self, words: str) -> None:
        """One line of the product's own."""
        self.say(f"  | {words}")

    @contextlib.contextmanager
    def story(self, board: Board) -> Iterator[None]:
        """Inside, changes are printed."""
        yield

    def changed(self, line: Line) -> None:
        """Printed once."""
        at = f"{line.at_s:7.2f} s" if line.at_s is not None else " " * 9
        took = f"{line.took_s:6.2f} s" if line.took_s is not None else " " * 8
        mark = "FAILED " if line.failed else ""
        self.say(f"  {at}  {line.name:<{_WIDTH}} {took}  {mark}{line.note}".rstrip())


class Rich:
    """A table that fills while one watches."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._spinner = Spinner("dots", style="cyan")

    def say(self, words: str = "") -> None:
        """One line, now."""
        self._console.print(words, markup=False, soft_wrap=True)

    def heard(self, words: str) -> None:
        """One line of the product's own."""
        self._console.print(Text(f"  │ {words}", style="dim"), soft_wrap=True)

    @contextlib.contextmanager
    def story(self, board: Board) -> Iterator[None]:
        """Inside, the board is drawn ten times a second; it stays on the screen afterwards."""
        with Live(get_renderable=lambda: self._drawn(board), console=self._console, refresh_per_second=10):
            yield

    def changed(self, line: Line) -> None:
        """The next drawing shows it."""

    def _drawn(self, board: Board) -> RenderableType:
        table = Table(box=None, padding=(0, 1), show_header=True, header_style="dim")
        table.add_column("", width=2)
        table.add_column("what")
        table.add_column("at", justify="right")
        table.add_column("took", justify="right")
        table.add_column("", overflow="fold")
        waiting = False
        for line in board.lines.values():
            first, waiting = not waiting and line.at_s is None, waiting or line.at_s is None
            table.add_row(
                self._mark(line, first=first),
                Text(line.name, style="bold" if line.at_s is not None or first else "dim"),
                f"{line.at_s:.2f} s" if line.at_s is not None else "",
                f"{line.took_s:.2f} s" if line.took_s is not None else "",
                Text(line.note, style="red" if line.failed else ""),
            )
        foot = Text(f"   {board.elapsed_s:.1f} s since the manifest was on disk", style="dim")
        return Group(table, foot if waiting else Text(""))

    def _mark(self, line: Line, *, first: bool) -> RenderableType:
        if line.failed:
            return Text("✗", style="bold red")
        if line.at_s is not None:
            return Text("✓", style="bold green")
        return self._spinner if first else Text("·", style="dim")


def usual_show() -> Show:
    """Live in a terminal, plain lines elsewhere (also with TERM=dumb)."""
    return (
        Rich()
        if sys.stdout.isatty() and Console().is_terminal and not Console().is_dumb_terminal
        else Plain()
    )
