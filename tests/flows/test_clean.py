"""`genloop clean` and `genloop hold` on a real house: MLflow, DVC with two remotes, an S3."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from flows import clean, clean_cli
from flows.cli_tools import only_run
from pipeline.adapters.objects import places
from pipeline.adapters.registry import Registry
from pipeline.adapters.store import FolderStore
from pipeline.adapters.versions import Versions
from pipeline.dataset import history
from pipeline.dataset.history import check_kept, parts_of, version_of
from pipeline.dataset.lineage import Walker
from pipeline.environment import SIGNING
from pipeline.errors import GenloopError, ParamsError, WithdrawnError
from pipeline.files import sha256_file
from pipeline.generate.batches import batches, home, note_batch
from pipeline.generate.release import Withdrawal
from pipeline.generate.verify import verify_batch, verify_file
from pipeline.generate.withdraw import withdraw_batch
from pipeline.marks.signer import SignerSettings, make_signer
from pipeline.params_file import load_params
from pipeline.retention import delivered as retained
from pipeline.settings import Params
from pipeline.values import Batch
from tests.contract.delivering import delivered
from tests.contract.dying_store import Cut, Dies
from tests.flows.command import ROOT, command, genloop
from tests.flows.house import moved

GOES = {
    "unfinished": 1,
    "models": 1,
    "preferences": 1,
    "runs": 3,
    "snapshots": 1,
    "remotes": 6,
    "cache": 3,
    "checkpoints": 1,
    "pages": 2,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made") / "w"
    words = [sys.executable, "-m", "tests.flows.house", str(root)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture
def house(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made.parent, tmp_path / "all", symlinks=True)
    moved(tmp_path / "all/w", made)
    return tmp_path / "all/w"


def told(root: Path, *words: str) -> Any:
    done = genloop(root, *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def goes(found: clean.Cleaned) -> dict[str, int]:
    return {kind: tally.goes for kind, tally in found.kinds.items() if tally.goes}


def params_of(root: Path) -> Params:
    return load_params(root / "params.yaml")


def files_of(root: Path) -> dict[str, str]:
    """What is not a service's or a lock."""
    kept = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    names = {path.relative_to(root).as_posix(): path for path in kept}
    own = ("var/mlflow.db", "var/logs", "var/services", ".dvc/tmp", ".dvc/config.local", "pipeline/")
    return {name: sha256_file(path) for name, path in names.items() if not name.startswith(own) and ".lock" not in name}


def killed(root: Path, nth: int, event: str, words: str) -> None:
    asked = command(root, "clean", "--json")
    asked["args"][1:3] = ["-m", "tests.flows.dying", str(nth), event, words]
    done = subprocess.run(asked["args"], env=asked["env"], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True)
    assert done.returncode == -signal.SIGKILL, (event, words, done.stderr)


def check_cleaned(root: Path) -> None:
    """What nothing needed is nowhere, all else is whole."""
    registry = Registry(f"sqlite:///{root}/var/mlflow.db", root / "var/mlartifacts")
    assert [registry.version("generator", number) is not None for number in (1, 2, 3)] == [True, False, True]
    for number in (1, 3):
        model = registry.version("generator", number)
        assert model and (registry.download_bundle(model, root / f"var/{number}") / "config.json").exists()
        assert "params.yaml" in registry.files(model)
    assert len(registry.client.search_runs([registry.experiment])) == 3
    assert len(list((root / "var/mlartifacts").glob("models/*/artifacts"))) == 2
    with pytest.raises(GenloopError, match="version 2 was cleaned up at"):
        check_kept(version_of(root, "2"))
    shutil.rmtree(root / ".dvc/cache")  # what is left in the remote is whole
    (root / ".dvc/config.local").unlink()
    config = root / ".dvc/config"
    config.write_text(config.read_text().replace("[core]\n", "[core]\n    remote = far\n"))
    for number, parts in (("1", {"a", "b"}), ("3", {"a", "d"})):
        assert parts_of(Versions(root), version_of(root, number)).keys() == parts
    far = next(place for place in places(root) if place.name == "far")
    assert len(far.all()) == len({"a", "b", "d", *(f"{kind} {n}" for kind in ("told", "folder") for n in (1, 3))})
    store = FolderStore(root / "var/s3/genloop")
    (batch,) = batches(lambda bucket: store)
    assert {key.split("/")[1] for key in store.keys("batches/")} == {batch.id}
    assert verify_batch(store, batch, make_signer(SignerSettings(), root / SIGNING).certificates).good
    left = {path.relative_to(root).as_posix() for path in (root / "runs").rglob("*") if path.is_file()}
    left = {name for name in left if "/." not in name}  # what was torn by a kill stays for two days
    assert left == {f"runs/reports/m{n}-x/report.html" for n in (1, 3)} | {"runs/feedback/new/1", "runs/cleaned.json"}


def test_what_nothing_needs_goes_though_killed_midway(
    house: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GENLOOP_WORKSPACE", str(house))
    monkeypatch.chdir(house)
    before = files_of(house)
    would_go = clean.planned(house, params_of(house))
    assert goes(would_go) == GOES and would_go.kinds["temporary"].why == {"younger than 2 days": 1}
    assert files_of(house) == before
    with only_run(house), pytest.raises(GenloopError, match="another run is at work here"):
        clean_cli.clean(dry_run=False, as_json=False)
    killed(house, 2, "os.remove", "far/files")
    clean_cli.clean(dry_run=False, as_json=False)
    assert " went" in capsys.readouterr().out
    done = json.loads((house / "runs/cleaned.json").read_text())
    assert not done["dry_run"] and done["names"]["pages"] == ["runs/feedback/old", "runs/reports/m2-x"]
    assert clean.planned(house, params_of(house)).things == 0
    check_cleaned(house)
    registry = Registry(f"sqlite:///{house}/var/mlflow.db", house / "var/mlartifacts")
    store = FolderStore(house / "var/s3/genloop")
    note_batch(lambda bucket: store, Batch(id="f" * 16, uri="", items=1, model="generator", version=2))
    line = Walker(house, registry, lambda bucket: store).walk("f" * 16)
    assert line.nodes["generator v2"].facts == {"registry": "not there any more"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("nth", "event", "words"),
    [
        (1, "http.client.send", "receipts/"),
        (1, "http.client.send", "started.json"),
        (1, "sqlite3.connect", "mlflow.db"),
        (1, "shutil.rmtree", "mlartifacts"),
        (2, "shutil.rmtree", "mlartifacts"),
        (1, "os.rename", "w/versions/"),
        (1, "os.remove", "far/files"),
        (1, "os.remove", "w/.dvc/cache/files"),
        (1, "os.rename", "runs/train"),
        (1, "shutil.rmtree", "runs/train"),
        (1, "os.rename", "cleaned.json"),
    ],
)
def test_killed_at_any_moment_the_next_one_ends_it(house: Path, nth: int, event: str, words: str) -> None:
    killed(house, nth, event, words)
    assert not told(house, "clean")["dry_run"]
    check_cleaned(house)


def test_tags_and_holds_keep_a_version_with_all_that_is_needed(
    house: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GENLOOP_WORKSPACE", str(house))
    monkeypatch.chdir(house)
    params, day = params_of(house), datetime.now(UTC).date().isoformat()
    with pytest.raises(ParamsError, match="--why is empty"):
        clean_cli.hold("generator/2", why=" ", until="", release=False)
    clean_cli.hold("generator/2", why="a suit", until=day, release=False)
    assert f"model generator/2 is held until {day}: a suit" in capsys.readouterr().out
    left = {kind: GOES[kind] for kind in ("unfinished", "preferences", "checkpoints")}
    held = clean.planned(house, params)
    assert goes(held) == left | {"runs": 2, "pages": 1}
    assert held.kinds["models"].why == {"the champion": 1, "hold: a suit": 1, "needed by batches": 1}
    assert clean.let_go(house, params, "generator/2") == ("model", "generator/2")
    history.tag(house, "audit", version_of(house, "2"))
    assert goes(clean.planned(house, params)) == left | {"models": 1, "runs": 3, "pages": 2}
    (batch,) = batches(lambda bucket: FolderStore(house / "var/s3/genloop"))
    assert clean.hold(house, params, batch.id[:8], "evidence", "").name == batch.id
    clean_cli.hold(None, why="", until="", release=False)
    assert capsys.readouterr().out.startswith(f"batch {batch.id}: evidence (")
    for what, until, error, words in [
        ("generator/9", "", GenloopError, "the registry has no such model"),
        ("nonsense", "", GenloopError, "is no dataset version, model or batch"),
        ("2", "2020-01-01", ParamsError, "has gone by"),
        ("2", "soon", ParamsError, "is no day"),
    ]:
        with pytest.raises(error, match=words):
            clean.hold(house, params, what, "a suit", until)
    with pytest.raises(GenloopError, match=f"held: batch {batch.id}"):
        clean.let_go(house, params, "generator/2")


def cleaned(store: FolderStore, root: Path) -> None:
    """Every batch there is."""
    found = retained.deliveries(lambda bucket: store, params_of(root).batches, lambda what: None)
    for thing in retained.things(found, lambda one: frozenset()):
        if thing.key.kind != "unfinished":
            assert retained.clean(lambda bucket: store, thing, "2026-11-25T00:00:00+00:00")


def test_of_a_batch_that_goes_its_record_is_left_and_it_does_not_come_back(made: Path, tmp_path: Path) -> None:
    """Killed at any step, and again."""
    signer, steps = make_signer(SignerSettings(), made / SIGNING), 0
    (batch,) = batches(lambda bucket: FolderStore(made / "var/s3/genloop"))
    whole = FolderStore(made / "var/s3/genloop")
    record = whole.get(f"{home(batch)}/record.json")
    image = next(whole.get(key) for key in whole.keys(f"{home(batch)}/images/") if key.endswith(".png"))
    while True:
        store = Dies(tmp_path / str(steps))
        shutil.copytree(whole.folder, store.folder)
        store.left = steps
        try:
            cleaned(store, made)
        except Cut:
            assert store.get(f"{home(batch)}/record.json") == record
            cleaned(FolderStore(store.folder), made)
        else:
            break
        finally:
            names = {key.removeprefix(f"{home(batch)}/") for key in store.keys(f"{home(batch)}/")}
            assert names == {"record.json", "cleaned.json"} and store.get(f"{home(batch)}/record.json") == record
        steps += 1
    assert steps >= 10 and not list(batches(lambda bucket: store))
    told = json.loads(store.get(f"{home(batch)}/cleaned.json") or b"")
    assert (told["status"], told["objects"]) == ("committed", len(list(whole.keys(f"{home(batch)}/"))) - 1)
    verdict = verify_batch(store, batch, signer.certificates)
    assert (verdict.status, verdict.problems, verdict.items) == ("cleaned", (), 4)
    of_file = verify_file(image or b"", signer.certificates, lambda bucket: store)
    assert of_file.good and of_file.status == "cleaned"
    with pytest.raises(WithdrawnError, match="this batch was cleaned up"):
        delivered(made, lambda bucket: store, count=4, part_items=4, layout="files")


def test_what_was_withdrawn_stays_so_when_it_goes(made: Path, tmp_path: Path) -> None:
    store, signer = FolderStore(tmp_path / "bucket"), make_signer(SignerSettings(), made / SIGNING)
    shutil.copytree(made / "var/s3/genloop", store.folder)
    (batch,) = batches(lambda bucket: store)
    image = next(store.get(key) for key in store.keys(f"{home(batch)}/images/") if key.endswith(".png")) or b""
    withdraw_batch(store, batch, Withdrawal(at="2026", by="me", why="a likeness"), signer, signer.certificates)
    cleaned(store, made)
    names = {key.removeprefix(f"{home(batch)}/") for key in store.keys(f"{home(batch)}/")}
    assert names == {"record.json", "withdrawn.json", "cleaned.json"}
    of_file = verify_file(image, signer.certificates, lambda bucket: store)
    assert of_file.status == "withdrawn" and not of_file.good
    with pytest.raises(WithdrawnError, match="this batch was withdrawn"):
        delivered(made, lambda bucket: store, count=4, part_items=4, layout="files")
