"""``python -m tests.vectors.generate`` writes ``message-format/`` anew; a test compares that with what is on file."""

from __future__ import annotations

from tests.vectors.case import FOLDER, Case
from tests.vectors.messages import messages
from tests.vectors.streams import streams


def cases() -> list[Case]:
    """Every vector, in the order of its making."""
    return [*messages(), *streams()]


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.json"):
        old.unlink()
    for case in cases():
        case.path.write_text(case.written())
