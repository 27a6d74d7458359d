"""What a region's process needs to know before it starts. Placed by the operator; nothing of it comes from a wire."""

from __future__ import annotations

from typing import Final

import msgspec

LEAST_GRACE_S: Final = 604_800.0  # 7 days


class CryptoSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One region's crypto process (``openkcm crypto --region NAME``). Its identity and its pins are ``parties``'."""

    region: str
    """Name of the region: ``[a-z0-9][a-z0-9-]{0,62}``; stands in associated data for ever."""
    database: str
    """Address of the region's own PostgreSQL database, with the region's own login."""
    owner_database: str = ""
    """The same database with its owner's login; ``openkcm migrate --region`` alone uses it."""
    root_file: str
    """The region's software root; written at the first start, mode 0600. Copy it off the host."""
    state_directory: str
    """Folder of this process alone; holds the high-water mark. Never shared by two processes, never backed up."""
    data_bind: str = "127.0.0.1:8081"
    """``HOST:PORT`` of the data door. Any host but a loopback address wants ``data_certificate`` and ``data_key``."""
    data_address: str = ""
    """The data door's address as applications reach it; empty: made of ``data_bind``."""
    data_certificate: str = ""
    """PEM file of the data door's certificate with its chain."""
    data_key: str = ""
    """PEM file of that certificate's private key; mode 0600."""
    control_bind: str = "127.0.0.1:8082"
    """``HOST:PORT`` of the control door: always mTLS between pinned parties."""
    log_level: str = "INFO"
    """Least level that is logged: ``DEBUG``, ``INFO``, ``WARNING``, ``ERROR``."""
    confirm_s: float = 30.0
    """Applied state that the database has not confirmed for so long is not used."""
    poll_s: float = 1.0
    """How often the applied state is compared with the database."""
    host_limit: int = 32
    """How many key-store hosts may run at a time."""
    host_idle_s: float = 600.0
    """A key-store host that was asked nothing for so long is ended; the next call starts it again."""
    host_memory_mib: int = 1024
    """How much memory of its own one key-store host may take."""
    probes_per_min: float = 6000.0
    """How often a minute all root keys of one kind of key store are asked together whether they still answer."""
    tenant_items_per_s: float = 500_000.0
    """How many items a second one process gives one tenant, those of batches counted singly; 0: as many as it can."""
    tenant_mib_per_s: float = 512.0
    """How many MiB of requests a second one process takes from one tenant; 0: as many as it can."""
    short_grace: bool = False
    """Let control end a deletion's grace before 7 days here. For development only; ``doctor`` shows it in red."""

    @property
    def least_grace_s(self) -> float:
        """How long this region keeps the keys of a deleted tenant, whatever control says."""
        return 0.0 if self.short_grace else LEAST_GRACE_S


class RegionSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where control dials a region. Who answers there is decided by the region's pin alone."""

    name: str
    """The region's name, as its pin has it."""
    address: str
    """``HOST:PORT`` of the region's control door."""
