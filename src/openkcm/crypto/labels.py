"""Every label that a derivation or an authentication in a region begins with. None is ever changed or used twice."""

from __future__ import annotations

from typing import Final

SEALING_KEY: Final = "openkcm sealing key v1"
"""From a root version: the key that everything of this version is derived from."""
ROOT_FINGERPRINT: Final = "openkcm root fingerprint v1"
"""From a root version: what may be shown of it."""
L2_WRAP: Final = "openkcm L2 wrap v1"
"""From the sealing key, with the erase secret: what wraps a platform-managed L2."""
AUTHENTICATE: Final = "openkcm region authentication v1"
"""From the sealing key: what authenticates the records that this region has accepted."""
OFFER: Final = "openkcm one-time key v1"
"""From the sealing key: what seals the private half of an offer while it waits."""
TOKEN: Final = "openkcm data plane token v1"  # noqa: S105 - a label, public by nature
"""From the sealing key: what authenticates a caller's token."""
LEASE: Final = "openkcm lease v1"
"""From the sealing key, with the lease secret: what seals a customer-managed L2 for the time of an outage."""
COMMITMENT: Final = "openkcm key commitment v1"
"""From a key itself: the value by which others know that they got this very key."""

KEY: Final = "key"
"""Authenticated record: a statement."""
WRAP: Final = "wrap"
"""Authenticated record: a wrap."""
APPLIED: Final = "applied"
"""Authenticated record: a tenant's applied document."""
ENDING: Final = "ending"
"""Authenticated record: since when a tenant's grace is counted, and the receipt of its end."""
LOGBOOK: Final = "logbook"
"""Authenticated file: when each root key last answered, and how far time has come."""
KEY_ENDING: Final = "key-ending"
"""Authenticated record: since when a key's waiting period is counted, what stopped it, and the receipt of its end."""
TIGHTENING: Final = "tightening"
"""Authenticated record: a tightening that control signed over a nonce."""
PROOF_AAD: Final = b"openkcm proof v1"
"""Associated data of the records that ``prove`` makes, so that it opens nothing else."""
