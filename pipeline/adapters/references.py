"""What dvc.lock names, here and in every branch and tag of git, and the dataset versions that these have."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import GenloopError

LOCK, VERSION = "dvc.lock", re.compile(r"versions/[0-9]+\.json")


@dataclass(frozen=True)
class Reference:
    """name: where it stands. lock: ids of the objects that dvc.lock names; versions: texts of version files."""

    name: str
    lock: frozenset[str]
    versions: tuple[str, ...] = ()


def references(workspace: Path) -> list[Reference]:
    """The workspace first. Raises GenloopError where git has something to tell and does not."""
    path = workspace / LOCK
    found = [Reference(LOCK, named(path.read_text(), str(path)) if path.exists() else frozenset())]
    if not _is_in_git(workspace):
        return found
    by_commit: dict[str, list[str]] = {}
    for line in _git(workspace, "for-each-ref", "--format=%(objectname) %(refname:short)").decode().splitlines():
        commit, _, name = line.partition(" ")
        by_commit.setdefault(commit, []).append(name)
    texts = dict[str, str]()
    for commit, names in by_commit.items():
        files = dict(_files(workspace, commit))
        for blob in files.values():
            if blob not in texts:
                texts[blob] = _git(workspace, "cat-file", "blob", blob).decode(errors="replace")
        lock = named(texts[files[LOCK]], f"{LOCK} of {names[0]}") if LOCK in files else frozenset[str]()
        versions = tuple(texts[blob] for name, blob in files.items() if name != LOCK)
        found.append(Reference(names[0], lock, versions))
    return found


def named(lock: str, where: str) -> frozenset[str]:
    """The ids in a dvc.lock. Raises GenloopError where it can't be read: it is not known then what it needs."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        stages = (YAML(typ="safe").load(lock) or {}).get("stages", {})
    except (YAMLError, AttributeError):
        raise GenloopError("can't be read", where=where, remedy="get it back from git") from None
    return frozenset(_ids(stages))


def _ids(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("md5"), str):
            yield node["md5"]
        for below in node.values():
            yield from _ids(below)
    elif isinstance(node, list):
        for below in node:
            yield from _ids(below)


def _files(workspace: Path, commit: str) -> Iterator[tuple[str, str]]:
    """The name and blob of the files that tell, of a commit (or what else a name of git stands for)."""
    for line in _git(workspace, "ls-tree", "-r", commit, LOCK, "versions/", check=False).decode().splitlines():
        told, _, name = line.partition("\t")
        if name == LOCK or VERSION.fullmatch(name):
            yield name, told.split()[2]


def _is_in_git(workspace: Path) -> bool:
    """Raises GenloopError where that can't be told."""
    try:
        done = subprocess.run(["git", "-C", str(workspace), "rev-parse", "--git-dir"], capture_output=True, text=True)
    except FileNotFoundError:
        if any((folder / ".git").exists() for folder in (workspace, *workspace.parents)):
            raise GenloopError("git is not installed", where=str(workspace), remedy="install git") from None
        return False
    if done.returncode and "not a git repository" not in done.stderr:
        raise _silent(workspace, done.stderr)
    return done.returncode == 0


def _git(workspace: Path, *words: str, check: bool = True) -> bytes:
    done = subprocess.run(["git", "-C", str(workspace), *words], capture_output=True)
    if done.returncode and check:
        raise _silent(workspace, done.stderr.decode(errors="replace"))
    return done.stdout


def _silent(workspace: Path, said: str) -> GenloopError:
    what = f"git does not tell its branches: {' '.join(said.split())[:200]}"
    return GenloopError(what, where=str(workspace), remedy="see `git status` there")
