"""What a sibling's proof of a refusal does to the links of a process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from openkcm.crypto.bounds import Policy
from openkcm.crypto.links import Change
from openkcm.crypto.windows import Verdict
from tests.crypto.test_links import KEY, Process


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    made = Process(tmp_path, Policy())
    yield made
    made.close()


def test_a_refusal_that_another_process_proved_stops_the_key_here_too_and_outlasts_a_restart(
    process: Process,
) -> None:
    process.answers()
    process.clock.advance(20)
    process.links.suspend(KEY, process.clocks.now())
    assert process.verdict() is Verdict.SUSPENDED
    assert not process.links.is_kept(KEY)
    process.restart()
    assert process.verdict() is Verdict.SUSPENDED
    assert process.changes == [Change.SUSPENDED]


def test_a_refusal_of_before_the_last_answer_that_another_process_still_tells_of_stops_nothing(
    process: Process,
) -> None:
    process.links.suspend(KEY, process.clocks.now())  # it never answered here: there is nothing to stop
    refused_at = process.clocks.now()
    process.clock.advance(20)
    process.answers()
    process.links.suspend(KEY, refused_at)
    process.links.suspend(b"no such key here", process.clocks.now())
    assert process.verdict() is Verdict.SERVE
    assert process.links.is_kept(KEY)
    assert process.changes == []
