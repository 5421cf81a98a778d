"""Label and split of an item, from its path alone."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from unicodedata import normalize

SPLITS = {"train": "train", "training": "train"} | dict.fromkeys(
    ("test", "testing", "val", "valid", "validation", "holdout"), "holdout"
)


def composed(label: str) -> str:
    """One form of what looks the same: é is one character, not e and an accent, as some systems write it."""
    return label if label.isascii() else normalize("NFC", label)


def split_of(name: str) -> str:
    """'train', 'holdout', or '' for a name that is no split."""
    return SPLITS.get(name.lower(), "")


def label_and_split(path: str, root: str | None = None) -> tuple[str | None, str]:
    """The folder after a split folder is the label.

    Without a split folder it is the first below `root`. While the root isn't known yet (in a stream), the
    innermost folder is a guess at it; `settled` puts it right.
    """
    return _of_folder(path.rpartition("/")[0], root)


@lru_cache(4096)
def _of_folder(folder: str, root: str | None) -> tuple[str | None, str]:
    folders = [composed(name) for name in _folders(f"{folder}/")]
    for i, name in enumerate(folders):
        if split_of(name):
            return (folders[i + 1] if i + 1 < len(folders) else None), split_of(name)
    if root is None:
        return (folders[-1] if folders else None), ""
    below = folders[len(_folders(f"{root}/")) :]
    return (below[0] if below else None), ""


def settled(folders: Iterable[str]) -> dict[str, str | None]:
    """The label of each folder of a stream, now that all are known."""
    folders = list(folders)
    root = common_root(f"{folder}/" for folder in folders)
    return {folder: label_and_split(f"{folder}/", root)[0] for folder in folders}


def common_root(paths: Iterable[str]) -> str:
    """The folders that wrap every path. A lone class folder can't be told from a wrapper: it is one."""
    found: list[str] | None = None
    for path in paths:
        folders = _folders(path)
        if found is None:
            found = folders
        while found and folders[: len(found)] != found:
            found = found[:-1]
        if not found:
            return ""
    return "/".join(found or [])


def hidden(path: str) -> bool:
    """Whether a file is the system's, not the source's."""
    folder, _, name = path.rpartition("/")
    return _is_hidden(name) or _in_hidden(folder)


@lru_cache(4096)
def _in_hidden(folder: str) -> bool:
    return any(map(_is_hidden, folder.split("/")))


def _is_hidden(name: str) -> bool:
    return (name.startswith(".") and name not in (".", "..")) or name in ("__MACOSX", "Thumbs.db")


def unsafe(path: str) -> bool:
    """Whether an archive member would land outside the folder that it is unpacked in."""
    path = path.replace("\\", "/")
    return path.startswith("/") or path[1:3] == ":/" or (".." in path and ".." in path.split("/"))


def _folders(path: str) -> list[str]:
    return [part for part in path.split("/")[:-1] if part not in ("", ".")]
