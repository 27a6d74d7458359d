"""Every setting: the rooms' structs put together, read once at a process's start, each value with its source.

A process has a settings file of its own (``OPENKCM_CONFIG``), placed by the operator: nothing of it comes from a
database or the wire, and no process needs to read another's.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeVar

import msgspec

from openkcm.crypto.settings import CryptoSettings, RegionSettings
from openkcm.kernel import configuration
from openkcm.kernel.commands import PLACE, USUAL
from openkcm.kernel.configuration import FREE, Shown
from openkcm.notices.settings import NoticesSettings
from openkcm.parties.settings import PartiesSettings
from openkcm.tenancy.settings import TenantsSettings
from openkcm.web.settings import WebSettings

FILE_VARIABLE: Final = "OPENKCM_CONFIG"
T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)


class ControlSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What web and worker share, and what the operator's commands work on."""

    web_database: str = ""
    """Address of control's database with the web process's login: ``postgresql://openkcm_web:…``."""
    worker_database: str = ""
    """The same with the worker's login; the commands ``tenants`` and ``audit`` use it too."""
    owner_database: str = ""
    """The same with the owner's login; ``openkcm migrate`` alone uses it."""
    redis: str = "redis://127.0.0.1:6379/0"
    """Address of Redis or Valkey: ``redis://``, ``rediss://`` or ``unix://PATH?db=0``. It wakes, it holds no truth."""
    public_url: str = ""
    """The pages' address as people reach it, without a path; empty: made of ``web.bind``."""
    regions: tuple[RegionSettings, ...] = ()
    """``[[control.regions]]``: ``name`` and ``address`` (``HOST:PORT`` of its control door); its pin says who it is."""
    state_directory: str = ""
    """Folder that says which installation this is; a database of another one is refused. Empty: not compared."""
    operator_command: str = USUAL
    """How the operator gives a command here, as pages and mails show it: ``{command}`` stands for ``tenants list``."""
    unsafe_without_step_up: bool = False
    """Let keys be revoked, destroyed, relinked without fresh proof of who asks. For trials only; red in ``doctor``."""
    shared_root_keys: bool = False
    """Let one root key serve several tenants. Usually a second tenant's connection to it is found bad."""
    log_level: str = "INFO"
    """Least level that is logged: ``DEBUG``, ``INFO``, ``WARNING``, ``ERROR``."""

    def __post_init__(self) -> None:
        if self.log_level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
            raise ValueError("log_level is DEBUG, INFO, WARNING or ERROR")
        if PLACE not in self.operator_command or not self.operator_command.isprintable():
            raise ValueError(f"operator_command is one line with {PLACE} where the command stands")
        if self.public_url and not self.public_url.startswith(("http://", "https://")):
            raise ValueError("public_url begins with https:// (or http:// on this machine)")
        if len({region.name for region in self.regions}) != len(self.regions):
            raise ValueError("regions names a region twice")


class WorkerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The worker process (``openkcm work``)."""

    lease_s: float = 30.0
    """How long a worker that is gone keeps its work from others."""
    jobs: int = 48
    """How many jobs run at the same time."""
    poll_s: float = 0.05
    """How often the queue is asked."""
    sweep_s: float = 1.0
    """How often the database is asked for what the queue lost."""
    database_connections: int = 8
    """The most connections to the database that this process holds."""
    checkpoint_every_s: float = 3600.0
    """How often every region signs where its chains of uses end; control keeps that in the tenant's log."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is more than 0")


GROUPS: Final[Mapping[str, type[msgspec.Struct]]] = MappingProxyType(
    {
        "control": ControlSettings,
        "parties": PartiesSettings,
        "web": WebSettings,
        "worker": WorkerSettings,
        "tenants": TenantsSettings,
        "notices": NoticesSettings,
        "crypto": CryptoSettings,
    }
)
"""Every group of settings but ``plugins.NAME``, which is text by name as each plugin documents it."""


_MADE_HERE: Final = MappingProxyType(
    {
        name: configuration.Given("", "default", text=False)
        for name in ("region", "database", "root_file", "state_directory")
    }
)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings of this process. ``crypto`` is None where nothing of that group is set."""

    control: ControlSettings = ControlSettings()
    parties: PartiesSettings = PartiesSettings()
    web: WebSettings = WebSettings()
    worker: WorkerSettings = WorkerSettings()
    tenants: TenantsSettings = TenantsSettings()
    notices: NoticesSettings = NoticesSettings()
    crypto: CryptoSettings | None = None
    plugins: Mapping[str, Mapping[str, str]] = {}
    shown: tuple[Shown, ...] = ()
    file: Path | None = None

    def __repr__(self) -> str:
        return f"Settings(file={self.file})"  # the values hold passwords

    @property
    def public_url(self) -> str:
        """The pages' address as people reach it, without a slash at its end."""
        if self.control.public_url:
            return self.control.public_url.rstrip("/")
        scheme = "https" if self.web.certificate else "http"
        return f"{scheme}://{self.web.bind}"


def load_settings(
    *, environ: Mapping[str, str] | None = None, file: Path | None = None, embedded: bool = False
) -> Settings:
    """The settings of this process: defaults, then the TOML file, then the environment.

    ``file`` goes before ``OPENKCM_CONFIG``; ``environ`` None is the process's own. ``embedded``: what a region has to
    be told is not asked for, since it is made here; it is empty in ``crypto``.

    Raises:
        Permanent: SETTING_INVALID or SETTING_MISSING, naming the setting and where its value came from.
    """
    environ = os.environ if environ is None else environ
    if file is None and environ.get(FILE_VARIABLE):
        file = Path(environ[FILE_VARIABLE])
    given = configuration.gather(GROUPS, environ=environ, file=file)
    if embedded and "crypto" in given:
        given["crypto"] = dict(_MADE_HERE) | given["crypto"]
    shown: list[Shown] = []

    def built(group: str, struct: type[S]) -> S:
        values = given.get(group, {})
        made = configuration.build(group, struct, values)
        shown.extend(configuration.shown(group, made, values))
        return made

    plugins: dict[str, dict[str, str]] = {}
    for name, values in given.items():
        group, _, plugin = name.partition(".")
        if group == FREE:
            plugins[plugin] = {key: str(value.value) for key, value in values.items()}
            shown += configuration.shown_free(plugin, values)
    return Settings(
        control=built("control", ControlSettings),
        parties=built("parties", PartiesSettings),
        web=built("web", WebSettings),
        worker=built("worker", WorkerSettings),
        tenants=built("tenants", TenantsSettings),
        notices=built("notices", NoticesSettings),
        crypto=built("crypto", CryptoSettings) if "crypto" in given else None,
        plugins=plugins,
        shown=tuple(sorted(shown, key=lambda line: line.name)),
        file=file,
    )


def needed(value: T | None, name: str) -> T:
    """The value, which is set.

    Raises:
        Permanent: SETTING_MISSING, naming the setting ``group.field``.
    """
    if not value:
        raise configuration.missing(name)
    return value
