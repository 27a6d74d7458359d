"""What the outage machine draws from: policies, regions, lengths of time, what a key store answers."""

from __future__ import annotations

from hypothesis import strategies as st

from openkcm.crypto.bounds import Choice, Policy
from openkcm.sdk.key_store import Outage

POLICIES = [
    Policy(choice=Choice.LEASE),
    Policy(choice=Choice.LEASE, governance_s=3600.0, doubtful_s=0.0),
    Policy(choice=Choice.LEASE, outage_s=7200.0, governance_s=300.0),
    Policy(choice=Choice.MEMORY_ONLY),
    Policy(choice=Choice.FAIL_CLOSED),
]
NAMES = st.sampled_from(["a", "b"])
PASSES = [20.0, 1790.0, 3590.0, 7190.0, 43_190.0, 86_390.0]
STORE = [Outage.NO_ANSWER, Outage.NO_ANSWER, Outage.DOUBTFUL, Outage.DOUBTFUL, Outage.REFUSED, None]
