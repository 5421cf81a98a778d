"""DVC's own files of a workspace."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows import wiring
from flows.services import Service
from pipeline.adapters.versions import Versions, initialise
from pipeline.environment import Environment
from pipeline.errors import ParamsError


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


def test_a_remote_that_is_named_is_aimed_at_whatever_s3_the_batches_are_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    initialise(tmp_path)

    def aimed(s3: Service | None) -> dict[str, str]:
        wiring.point_versions(tmp_path, s3)
        return dict(Versions(tmp_path)._repo.config["remote"]["store"])

    embedded = Service("s3", "http://127.0.0.1:9", 1)
    monkeypatch.setenv("GENLOOP_BUCKET", "content")
    assert aimed(embedded)["url"] == "s3://content/dvc" and aimed(embedded)["endpointurl"] == embedded.url
    monkeypatch.setenv("GENLOOP_DVC_REMOTE", "s3://artifacts/dvc")
    assert aimed(embedded)["url"] == "s3://artifacts/dvc" and "endpointurl" not in aimed(embedded)
    assert "credentialpath" not in aimed(embedded)
    monkeypatch.setenv("GENLOOP_S3_ENDPOINT", "https://s3.example.com")
    assert aimed(None)["endpointurl"] == "https://s3.example.com"
    for wrong in ("artifacts/dvc", "gs://artifacts", "s3://"):
        monkeypatch.setenv("GENLOOP_DVC_REMOTE", wrong)
        with pytest.raises(ParamsError, match="GENLOOP_DVC_REMOTE"):
            Environment()
