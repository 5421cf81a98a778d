"""Receipts of runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.history import HISTORY, last_runs, recorded
from pipeline.errors import SourceError


def test_a_failed_run_is_kept_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(SourceError), recorded(tmp_path, "s3://bucket"):
        raise SourceError("there is nothing there", where="s3://bucket", remedy="check the path")
    with pytest.raises(KeyboardInterrupt), recorded(tmp_path, "folder"):
        raise KeyboardInterrupt
    interrupted, failed = last_runs(tmp_path, at_work=False)
    assert (interrupted.source, interrupted.outcome) == ("folder", "interrupted")
    assert (failed.outcome, failed.detail) == ("failed", "s3://bucket: there is nothing there")
    assert failed.seconds is not None


def test_a_run_without_an_end_is_at_work_or_was_killed(tmp_path: Path) -> None:
    begun = [recorded(tmp_path, "folder") for _ in range(2)]
    for run in begun:
        run.__enter__()
    assert [run.outcome for run in last_runs(tmp_path, at_work=True)] == ["running", "killed"]
    assert [run.outcome for run in last_runs(tmp_path, at_work=False)] == ["killed", "killed"]


def test_only_so_many_are_shown_and_a_torn_one_is_passed_over(tmp_path: Path) -> None:
    for number in range(5):
        with recorded(tmp_path, f"source {number}"):
            pass
    newest = max((tmp_path / HISTORY).iterdir())
    newest.write_text("{")
    assert [run.source for run in last_runs(tmp_path, at_work=False, count=3)] == ["source 3", "source 2"]
