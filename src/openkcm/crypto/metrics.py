"""What a region counts. Names are stable; help texts are docs/reference/crypto-service.md's."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

REGISTRY = CollectorRegistry()

GENERATION_CONFLICTS = Counter(
    "openkcm_generation_conflicts",
    "Documents signed by control that contradict what was applied. Any is an alarm.",
    registry=REGISTRY,
)
OPERATIONS = Counter(
    "openkcm_data_operations",
    "Data-plane operations by verb and outcome (done, or the refusal's code).",
    ("verb", "outcome"),
    registry=REGISTRY,
)
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
