"""The versions of a dataset: one small file each in the workspace's `versions/`, for git to keep."""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.adapters.versions import Versions
from pipeline.dataset.profile import Profile
from pipeline.errors import GenloopError
from pipeline.files import write_json, write_new, write_text
from pipeline.values import Origin, Value

FOLDER, TAGS = Path("versions"), Path("versions/tags.json")


class Stored(Value):
    """What DVC knows a snapshot by."""

    md5: str
    size: int
    nfiles: int


class Version(Value):
    """A snapshot that was validated. number: 1, 2, …; id: of its content; restores: the number of one it brought back.

    added, removed and relabelled: items, against the version before it; None where that one's files are lost.
    near_copies: accepted items that look like another one; docs: what was checked. forgotten: items that it had and
    were erased since; was: its ids before that. dropped: when its files were let go, ISO 8601, or empty.
    """

    number: int
    id: str
    at: str
    by: str
    why: str
    stored: Stored
    items: int
    accepted: int
    rejected: int
    reasons: dict[str, int]
    added: int | None
    removed: int | None
    relabelled: int | None
    drift: dict[str, float]
    sources: tuple[Origin, ...]
    profile: Profile
    restores: int | None = None
    near_copies: int = 0
    forgotten: int = 0
    was: tuple[str, ...] = ()
    docs: Stored | None = None
    dropped: str = ""

    @property
    def ids(self) -> set[str]:
        return {self.id, *self.was}


def versions(workspace: Path) -> list[Version]:
    """Oldest first. Raises GenloopError where a file is damaged."""
    found = []
    for path in sorted((workspace / FOLDER).glob("[0-9]*.json")):
        try:
            found.append(Version.model_validate_json(path.read_text()))
        except ValueError:
            raise GenloopError("a version's file is damaged", where=str(path), remedy="get it back from git") from None
    return found


def add_version(workspace: Path, version: Version) -> None:
    if not write_new(_path(workspace, version), _text(version).encode()):
        raise GenloopError(f"version {version.number} is there already", where=str(workspace / FOLDER))


def rewrite_version(workspace: Path, version: Version) -> None:
    """In place of the one of that number: only where some of it had to be forgotten, or its files are let go."""
    write_text(_path(workspace, version), _text(version))


def _path(workspace: Path, version: Version) -> Path:
    return workspace / FOLDER / f"{version.number:06}.json"


def _text(version: Version) -> str:
    return json.dumps(version.model_dump(mode="json"), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def parts_of(store: Versions, version: Version) -> dict[str, Path]:
    """The files of a version's parts, by name. Raises GenloopError where they are lost, or were let go."""
    check_kept(version)
    files = store.files(version.stored.md5)
    return {name.removeprefix("parts/"): path for name, path in files.items() if name.startswith("parts/")}


def check_kept(version: Version) -> None:
    """Raises GenloopError where its files were let go."""
    if version.dropped:
        what = f"version {version.number} was cleaned up at {version.dropped}: its files are not kept any more"
        raise GenloopError(what, remedy="`genloop data tag` and `genloop hold` keep others from that")


def tags(workspace: Path) -> dict[str, int]:
    path = workspace / TAGS
    found: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
    return found


def tag(workspace: Path, name: str, version: Version) -> None:
    """Raises GenloopError where the name could be taken for a version, or stands for another one already, or the
    version's files were let go."""
    check_kept(version)
    if not name or name.isdigit() or name == "latest" or name.strip() != name:
        raise GenloopError(f"{name!r} can't be a version's name", remedy="give a word that is no number")
    known = tags(workspace)
    if known.get(name, version.number) != version.number:
        raise GenloopError(f"{name} is the name of version {known[name]}", remedy="give another one")
    write_json(workspace / TAGS, known | {name: version.number})


def version_of(workspace: Path, name: str) -> Version:
    """By number, tag, `latest`, or the first digits of its id. Raises GenloopError where that is not one version."""
    known = versions(workspace)
    number = int(name) if name.isdigit() and len(name) < 7 else tags(workspace).get(name)
    if name == "latest" and known:
        return known[-1]
    found = [version for version in known if version.number == number]
    if not found and len(name) >= 6:
        matching = [version for version in known if any(identity.startswith(name) for identity in version.ids)]
        found = matching[-1:] if len({version.id for version in matching}) == 1 else []
    if not found:
        raise GenloopError(f"there is no version {name}", remedy="`genloop data log` lists them")
    return found[0]
