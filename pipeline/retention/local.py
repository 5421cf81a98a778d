"""Files of the workspace as retention sees them: checkpoints, pages and what else is made again, and torn writes."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from pipeline import stages
from pipeline.retention.plan import Key, Thing

FEATURES, REPORTS = Path("runs/feedback"), Path("runs/reports")
PAGES = (REPORTS, Path("runs/rescored"), FEATURES, Path("runs/pages"), Path("runs/items"), Path("runs/docs"))
OURS = ("data", "runs", "versions", "proofs", "var", ".dvc")  # folders that only we write to
NOT_OURS = {"var/s3", ".dvc/cache", "var/prefect"}  # these have writers of their own
TORN = re.compile(r"\.(.+)-[a-z0-9_]{8}")  # as pipeline/files.py names what it has not finished
ASIDE = re.compile(r"\.(.+)\.old")  # what a folder was before it was replaced
WRITTEN = ("params.yaml", "dvc.lock", "decisions.csv", "tombstones.csv")  # beside other people's files


def checkpoint(training: str) -> Key:
    return Key("checkpoints", (stages.CHECKPOINTS / training).as_posix())


def features_in(space: str) -> Key:
    return Key("pages", (FEATURES / space).as_posix())


def reports_of(workspace: Path, bundle: str) -> Iterator[Key]:
    for path in (workspace / REPORTS).glob(f"{bundle}-*"):
        yield Key("pages", path.relative_to(workspace).as_posix())


def things(workspace: Path, runs: Mapping[Key, Key]) -> Iterator[Thing]:
    """runs: of MLflow, by the checkpoints that they go on with."""
    for folder in (stages.CHECKPOINTS, stages.EVALUATORS, *PAGES):
        for path in sorted((workspace / folder).glob("[!.]*")):
            name = path.relative_to(workspace).as_posix()
            key = Key("checkpoints" if folder == stages.CHECKPOINTS else "pages", name)
            yield _thing(key, path, frozenset({runs[key]} if key in runs else ()), folder.as_posix())
    for path in _torn(workspace):
        yield _thing(Key("temporary", path.relative_to(workspace).as_posix()), path, time="st_ctime")


def remove(workspace: Path, key: Key) -> None:
    """A folder goes out of its place first: one that is half removed is never taken for a whole one."""
    path = workspace / key.name
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    aside = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name.lstrip('.')}-"))
    path.rename(aside / "gone")
    shutil.rmtree(aside)


def _thing(key: Key, path: Path, needs: frozenset[Key] = frozenset(), group: str = "", time: str = "st_mtime") -> Thing:
    """time: of a file; what is being copied may have the one of what it is a copy of already, but not as its ctime."""
    files = [Path(folder) / name for folder, _, names in os.walk(path) for name in names] if path.is_dir() else [path]
    told = [file.lstat() for file in files] or [path.lstat()]
    at = datetime.fromtimestamp(max(getattr(one, time) for one in told), UTC)
    return Thing(key, at, sum(one.st_size for one in told) if files else 0, needs, group=group)


def _torn(workspace: Path) -> Iterator[Path]:
    for path in sorted(workspace.glob(".*")):
        if (found := TORN.fullmatch(path.name)) and found[1] in WRITTEN:
            yield path
    for top in OURS:
        for folder, folders, files in os.walk(workspace / top):
            here = Path(folder)
            torn = [name for name in (*folders, *files) if _is_torn(here, name)]
            yield from (here / name for name in torn)
            inside = (here / name for name in folders if name not in torn)
            folders[:] = [p.name for p in inside if p.relative_to(workspace).as_posix() not in NOT_OURS]


def _is_torn(folder: Path, name: str) -> bool:
    """What was put aside is all there is of a folder that is not in its place: it will be put back."""
    found = ASIDE.fullmatch(name)
    return (folder / found[1]).exists() if found else TORN.fullmatch(name) is not None
