"""Seconds of one core: of this process, of those that ended, and of workers that a server forked."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from flows.timing import Steps
from pipeline.cores import core_seconds
from pipeline.parallel import each

BURN_S = 0.4


def burn(_: int = 0) -> None:
    end = time.process_time() + BURN_S
    while time.process_time() < end:
        pass


@pytest.mark.parametrize(
    "work",
    [
        burn,
        lambda: list(each(burn, [1, 2])),
        lambda: subprocess.run([sys.executable, "-c", "from tests.unit.test_cores import burn; burn()"], check=True),
    ],
    ids=["here", "workers", "a child"],
)
def test_whoever_burns_it_is_counted(work: object) -> None:
    before = core_seconds()
    work()  # type: ignore[operator]
    assert core_seconds() - before >= 0.9 * BURN_S


def test_waiting_costs_nothing_and_a_step_that_fails_is_not_entered() -> None:
    steps = Steps()
    with steps.step("waits"):
        time.sleep(0.5)
    with pytest.raises(ValueError, match="no"), steps.step("fails"):
        raise ValueError("no")
    assert steps.seconds.keys() == steps.core_seconds.keys() == {"waits"}
    assert steps.seconds["waits"] >= 0.5 > steps.core_seconds["waits"] + 0.1
