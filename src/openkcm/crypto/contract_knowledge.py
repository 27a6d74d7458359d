"""What a region shows of a tenant to a control that may have been set back. No I/O."""

from __future__ import annotations

import msgspec

from openkcm.crypto.contract_ends import TightenItem
from openkcm.crypto.contract_keys import KeyRecord
from openkcm.crypto.desired import SignedDesired


class ShowItem(msgspec.Struct, frozen=True, kw_only=True):
    """Ask what a region holds of this tenant, with the signatures that it rests on."""

    tenant: str


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What the region has acknowledged of a tenant, and what it can show of that.

    ``order`` (serial of control's pin, epoch, generation) and ``hash`` are of the newest that it ever acknowledged;
    ``document`` is what its database holds, which is older where that was set back, and None where it holds nothing.
    ``tightened`` are control's words that no document here knows of; ``records`` the keys that the document names, as
    the region accepted them.
    """

    tenant: str
    order: tuple[int, int, int]
    hash: str
    document: SignedDesired | None
    tightened: tuple[TightenItem, ...] = ()
    records: tuple[KeyRecord, ...] = ()
