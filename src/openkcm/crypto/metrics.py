"""What a region counts. Names are stable; help texts are docs/reference/crypto-service.md's."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from openkcm.crypto.data.counted import Operations

REGISTRY = CollectorRegistry()

GENERATION_CONFLICTS = Counter(
    "openkcm_generation_conflicts",
    "Documents signed by control that contradict what was applied. Any is an alarm.",
    registry=REGISTRY,
)
OPERATIONS = Operations()
REGISTRY.register(OPERATIONS)
CONTROL_ITEMS = Counter(
    "openkcm_control_items",
    "Items of control's calls by verb and outcome (done, or the refusal's code).",
    ("verb", "outcome"),
    registry=REGISTRY,
)
TENANTS = Gauge("openkcm_tenants", "Tenants whose state this process has applied.", registry=REGISTRY)
NOT_SERVED = Gauge(
    "openkcm_tenants_not_served", "Tenants whose stored state is not believed.", registry=REGISTRY
)
KEY_STORE_CALLS = Counter(
    "openkcm_key_store_calls",
    "Calls of key stores by plugin, verb and outcome (done, or the class of what came instead).",
    ("plugin", "verb", "outcome"),
    registry=REGISTRY,
)
KEY_STORE_SECONDS = Histogram(
    "openkcm_key_store_seconds",
    "How long key stores took to answer, by plugin and verb.",
    ("plugin", "verb"),
    buckets=(0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25),
    registry=REGISTRY,
)
KEY_STORE_HOSTS = Gauge("openkcm_key_store_hosts", "Running key-store hosts.", ("plugin",), registry=REGISTRY)
KEY_STORE_HOSTS_ENDED = Counter(
    "openkcm_key_store_hosts_ended",
    "Key-store hosts that ended before they were told to, by plugin and reason.",
    ("plugin", "why"),
    registry=REGISTRY,
)
