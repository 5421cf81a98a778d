"""DVC's own files of a workspace."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.adapters.versions import Versions, initialise


def test_what_dvc_writes_takes_its_place_whole(tmp_path: Path) -> None:
    initialise(tmp_path)
    files = Versions(tmp_path)._repo.fs
    for name in ("dvc.lock", ".dvc/tmp/rwlock"):
        path = tmp_path / name
        with files.open(path, "w", encoding="utf-8") as file:
            file.write("whole")
        with pytest.raises(InterruptedError), files.open(path, "w+", encoding="utf-8") as file:
            file.write("ha")
            file.flush()
            assert path.read_text() == "whole"
            raise InterruptedError
        assert path.read_text() == "whole" and len(list(path.parent.glob(f".{path.name}*"))) == 0
    Versions(tmp_path).set_remote("s3://bucket", "", None)
    assert Versions(tmp_path).aimed
