"""The states of a saga and its legal moves. Anything else is a defect."""

from __future__ import annotations

from enum import StrEnum


class SagaState(StrEnum):
    """Where a saga stands; the last four need nothing of a worker."""

    RUNNING = "running"
    UNDOING = "undoing"
    DONE = "done"
    UNDONE = "undone"
    UNDO_FAILED = "undo-failed"


MOVES = frozenset(
    {
        (SagaState.RUNNING, SagaState.DONE),  # every step is in the journal
        (SagaState.RUNNING, SagaState.UNDOING),  # refused for good, or cancelled, before the pivot
        (SagaState.UNDOING, SagaState.UNDONE),  # every step that may have begun is taken back
        (
            SagaState.UNDOING,
            SagaState.UNDO_FAILED,
        ),  # a person must look: something made could not be taken back
        (SagaState.UNDO_FAILED, SagaState.UNDOING),  # the person has looked, and asks for another try
    }
)


def move(current: SagaState, to: SagaState) -> SagaState:
    """``to``, when that is a legal move.

    Raises:
        ValueError: it is not.
    """
    if (current, to) not in MOVES:
        raise ValueError(f"a saga cannot go from {current} to {to}")
    return to
