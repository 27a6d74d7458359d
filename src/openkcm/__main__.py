"""The command ``openkcm``: each of its commands is one file below ``cli``, read only when it is asked for."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import click

from openkcm import cli
from openkcm.catalog.commands import announced, load_command
from openkcm.sdk.refusals import Refused

_FAILED = 1
_INTERRUPTED = 130


class Commands(click.Group):
    """The files below ``cli`` as commands; a name with an underscore in front is none."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands, plugins' too, without reading one."""
        return sorted({*_own(), *announced()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name, which is called ``command`` in its file."""
        if cmd_name not in _own():
            modules = announced()
            return load_command(cmd_name, modules[cmd_name]) if cmd_name in modules else None
        found = importlib.import_module(f"{cli.__name__}.{cmd_name}").command
        return found if isinstance(found, click.Command) else None


def _own() -> set[str]:
    return {found.name for found in pkgutil.iter_modules(cli.__path__) if not found.name.startswith("_")}


@click.command(cls=Commands)
@click.version_option(package_name="openkcm")
def commands() -> None:
    """Keys for every account of a platform, from its first second.

    Start everything on this machine with: openkcm up
    """


def main() -> None:
    """Run the command and leave with 0 (well), 1 (refused or failed) or 2 (wrong usage)."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """The exit status of the command; why it was refused stands on stderr in plain words, never a stack trace."""
    try:
        status = commands.main(arguments, prog_name="openkcm", standalone_mode=False)
    except click.ClickException as wrong:
        wrong.show()
        return wrong.exit_code
    except Refused as refused:
        say_refused(refused)
        return _FAILED
    except (KeyboardInterrupt, click.Abort):
        return _INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return _FAILED
    except Exception as defect:  # noqa: BLE001  # the last place: what is left is a defect of ours, told without its trace
        _say(
            f"OpenKCM failed at this ({_where(defect)}). This is a defect.",
            "What to do: report these words with the command that you gave.",
        )
        return _FAILED
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else _FAILED
    return status if isinstance(status, int) else 0


def say_refused(refused: Refused) -> None:
    """What was refused, why, what to do and by whom, on stderr: in lines for a person, in one line for a log."""
    parts = [f"Refused ({refused.refusal}): {refused.message}"]
    if refused.remedy is not None and refused.remedy.action:
        parts.append(f"What to do: {refused.remedy.action} ({refused.remedy.who})")
        if refused.remedy.reference:
            parts.append(f"Where it is written: {refused.remedy.reference}")
    _say(*parts)


def _say(*parts: str) -> None:
    click.echo(("\n" if sys.stderr.isatty() else " ").join(parts), err=True)


def _where(defect: BaseException) -> str:
    """Type and place; of the words only a missing module's name, for any other's may quote a secret."""
    at = defect.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    name = f" {defect.name}" if isinstance(defect, ImportError) and defect.name else ""
    place = (
        f" at {at.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{at.tb_lineno}" if at is not None else ""
    )
    return f"{type(defect).__name__}{name}{place}"


if __name__ == "__main__":
    main()
