"""What ``openkcm up`` keeps below its state directory: identities, and a settings file for each process."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from openkcm.catalog.load import KEY_STORE_PREFIX, by_plugin_name
from openkcm.embedded.databases import Databases
from openkcm.embedded.files import make_directory, write_private
from openkcm.embedded.state import StateDirectory, default_state_directory, is_locked
from openkcm.kernel.commands import USUAL
from openkcm.parties.identity import Identity, enrol, load_identity
from openkcm.parties.pins import Pin
from openkcm.parties.settings import pin_toml
from openkcm.sdk.refusals import Permanent, Refusal, Remedy
from openkcm.settings import FILE_VARIABLE, Settings

REGION = "local"


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """The ports of the three doors, all on 127.0.0.1."""

    web: int
    data: int
    control: int


@dataclass(frozen=True, slots=True)
class Files:
    """Where each process of an embedded installation finds what is its own."""

    state: Path

    @property
    def control(self) -> Path:
        """Control's folder: its identity, and what says which installation it belongs to."""
        return self.state / "control"

    @property
    def region(self) -> Path:
        """The region's folder: its identity, its root, its high-water mark."""
        return self.state / "regions" / REGION

    @property
    def root(self) -> Path:
        """The region's software root."""
        return self.region / "root.json"

    @property
    def manifests(self) -> Path:
        """The watched folder, where no other was named."""
        return self.state / "manifests"

    def settings(self, process: str) -> Path:
        """The settings file of ``web``, ``worker``, ``crypto`` or ``operator`` (for commands and migrations)."""
        return self.state / "settings" / f"{process}.toml"

    def make(self) -> None:
        """The folders are there, for the owner's eyes only."""
        for folder in (
            self.control,
            self.region.parent,
            self.region,
            self.region / "state",
            self.state / "settings",
        ):
            make_directory(folder, 0o700)

    def identities(self) -> tuple[Identity, Identity]:
        """Control's and the region's identity, made at the first start and kept for ever.

        Raises:
            Permanent: IDENTITY_UNREADABLE; one is gone that there is work of. Nothing is made in its place.
        """
        return (
            _identity(
                self.control / "identity.json", "control", "control", used=self.control / "installation"
            ),
            _identity(self.region / "identity.json", REGION, "region", used=self.region / "root.json"),
        )


def _identity(path: Path, name: str, kind: str, *, used: Path) -> Identity:
    """``used`` is there once the party has begun to work: what it signed and sealed since is of no other identity."""
    if path.exists():
        return load_identity(path)
    if used.exists():
        raise Permanent(
            Refusal.IDENTITY_UNREADABLE,
            f"The identity file {path} is gone, and tenants' keys depend on it: what {kind} {name} has signed until "
            "now would not be believed of another one. No other is made in its place.",
            remedy=Remedy(
                f"Restore {path} from its off-host copy.", "operator", "reference/trust-domains#identities"
            ),
        )
    return enrol(path, name, "control" if kind == "control" else "region")


def write_settings(
    files: Files, settings: Settings, databases: Databases, doors: Doors, pins: Iterable[Pin], *, redis: str
) -> None:
    """Each process's file holds all that it needs and no other process's passwords; mode 0600."""
    tables = "\n".join(pin_toml(pin) for pin in pins)
    web, worker, owner = databases.web, databases.worker, databases.control_owner
    public_url = settings.control.public_url or f"http://127.0.0.1:{doors.web}"
    shared: dict[str, object] = {
        "redis": redis,
        "public_url": public_url,
        "state_directory": files.control,
        "operator_command": operator_command(settings, files.state),
        "log_level": settings.control.log_level,
    }
    if settings.control.unsafe_without_step_up:
        shared["unsafe_without_step_up"] = True
    regions = f'[[control.regions]]\nname = "{REGION}"\naddress = "127.0.0.1:{doors.control}"\n'
    identity = {"identity": files.control / "identity.json"}
    pages = {**_changed(settings.web), "bind": f"127.0.0.1:{doors.web}"}
    common = [
        table("notices", _changed(settings.notices)),
        table("tenants", _changed(settings.tenants)),
        table("parties", identity),
        tables,
        regions,
    ]
    plugins = [table(f"plugins.{name}", dict(values)) for name, values in settings.plugins.items()]
    # The region's hosts run key stores with these, and the pages show what they declare with these.
    key_stores = [
        table(f"plugins.{name}", dict(values))
        for name, values in by_plugin_name(settings.plugins).items()
        if name.startswith(KEY_STORE_PREFIX)
    ]
    work = table("worker", _changed(settings.worker))
    write(
        files.settings("web"),
        table("control", {**shared, "web_database": web}),
        table("web", pages),
        *common,
        *key_stores,
    )
    write(
        files.settings("worker"),
        table("control", {**shared, "worker_database": worker}),
        work,
        *common,
        *plugins,
    )
    write(
        files.settings("operator"),
        table("control", {**shared, "web_database": web, "worker_database": worker, "owner_database": owner}),
        table("web", pages),
        work,
        *common,
        *plugins,
    )
    crypto = {
        "region": REGION,
        "database": databases.crypto(REGION),
        "root_file": files.root,
        "state_directory": files.region / "state",
        "data_bind": f"127.0.0.1:{doors.data}",
        "control_bind": f"127.0.0.1:{doors.control}",
        "log_level": settings.control.log_level,
    }
    if settings.crypto is not None and settings.crypto.allowed_networks:
        crypto["allowed_networks"] = settings.crypto.allowed_networks
    if settings.tenants.short_grace:  # on one machine it is one operator's word
        crypto["short_grace"] = True
    own = table("parties", {"identity": files.region / "identity.json"})
    write(files.settings("crypto"), table("crypto", crypto), own, tables, *key_stores)


def operator_command(settings: Settings, state: Path) -> str:
    """How the operator gives a command to the installation below ``state``, unless the settings say another way."""
    if settings.control.operator_command != USUAL:
        return settings.control.operator_command
    usual = state == default_state_directory() and not elsewhere()
    return USUAL if usual else f"{USUAL} --state {shlex.quote(str(state))}"


def stopped_state(settings: Settings) -> Path | None:
    """The state directory whose settings these are, where no 'openkcm up' runs on it now; else None."""
    state = embedded_state(settings)
    return None if state is None or is_locked(StateDirectory(state).lock) else state


def embedded_state(settings: Settings) -> Path | None:
    """The state directory whose settings these are, if 'openkcm up' wrote them: its region is on this machine."""
    if settings.file is None:
        return None
    file = settings.file.absolute()
    state = file.parents[1] if len(file.parents) > 1 else file.parent
    return state if file == Files(state).settings("operator") else None


def elsewhere() -> bool:
    """Whether the environment names another installation than the one in the usual state directory."""
    return FILE_VARIABLE in os.environ or any(name.startswith("OPENKCM_CONTROL__") for name in os.environ)


def write(path: Path, *tables: str) -> None:
    """The file has these tables, whole or not at all."""
    write_private(path, "# Written by 'openkcm up' at each start.\n\n" + "\n".join(filter(None, tables)))


def table(name: str, values: Mapping[str, object]) -> str:
    """A TOML table; empty text where there is nothing in it."""
    lines = [f"{_key(key)} = {_value(value)}" for key, value in values.items()]
    parts = ".".join(_key(part) for part in name.split("."))
    return "\n".join([f"[{parts}]", *lines, ""]) if lines else ""


def _changed(group: msgspec.Struct) -> dict[str, object]:
    usual = type(group)()
    return {
        name: getattr(group, name)
        for name in group.__struct_fields__
        if getattr(group, name) != getattr(usual, name)
    }


def _key(text: str) -> str:
    bare = text.isascii() and text.replace("-", "").replace("_", "").isalnum()
    return text if bare else _text(text)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, tuple):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    return _text(str(value))


def _text(text: str) -> str:
    # A JSON string without surrogate pairs is a TOML basic string, but for DEL.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
