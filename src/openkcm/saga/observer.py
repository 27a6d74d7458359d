"""Who is told how a saga fares."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from openkcm.kernel.db import Transaction
from openkcm.saga.journal import Trouble
from openkcm.saga.states import SagaState


class Observer(Protocol):
    """Who is told how a saga fares, inside the transaction that records it."""

    async def troubled(
        self, tx: Transaction, tenant: str, step: str, trouble: Trouble, *, now: datetime, told: int
    ) -> int:
        """A step was refused; ``told`` counts what was said so far. Returns the new count."""
        ...

    async def ended(self, tx: Transaction, tenant: str, state: SagaState, why: Trouble | None) -> None:
        """The saga is done, undone, or could not be undone."""
        ...
