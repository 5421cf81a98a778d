"""All that DVC keeps for a workspace, object by object: in its cache, and in each of its remotes."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, NamedTuple

from pipeline.errors import ServiceError

FOLDER = ".dir"
CACHE = "cache"


class Told(NamedTuple):
    """Of an object. at: when it was put there."""

    size: int
    at: datetime


@dataclass(frozen=True)
class Objects:
    """One place. name: `cache`, or a remote's. All raise ServiceError where it does not answer."""

    name: str
    where: str
    _odb: Any

    def all(self) -> list[str]:
        """Ids; one that ends in `.dir` is a folder's."""
        with _answering(self.where):
            return sorted(set(self._odb.all()))

    def told(self) -> dict[str, Told]:
        """Size and time of all of them."""
        with _answering(self.where):
            found = self._odb.fs.fs.find(self._odb.path, detail=True)
            if not isinstance(found, dict):  # as DVC's own files of this machine are told of, without details
                found = dict(_stats(found))
        told = {}
        for path, info in found.items():
            with suppress(ValueError):  # what is no object of DVC's
                told[self._odb.path_to_oid(path)] = _told(info)
        return told

    @contextmanager
    def open(self, oid: str) -> Iterator[IO[bytes]]:
        with _answering(self.where), self._odb.fs.open(self._odb.oid_to_path(oid), "rb") as file:
            yield file

    def entries(self, folder: str) -> dict[str, str]:
        """Of a folder, the id of each file by its path in it."""
        with self.open(folder) as file:
            return {entry["relpath"]: entry["md5"] for entry in json.load(file)}

    def has(self, oid: str) -> bool:
        with _answering(self.where):
            return bool(self._odb.exists(oid))

    def delete(self, oids: Iterable[str]) -> None:
        """Those that are there, and what DVC remembers of having seen them."""
        from dvc_data.hashfile.db import get_index

        with _answering(self.where):
            for oid in oids:
                if self._odb.exists(oid):
                    self._odb.delete(oid)
            index = get_index(self._odb)
            index.clear()
            index.close()


def places(workspace: Path) -> list[Objects]:
    """The cache, then the remotes by name."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.WARNING)
    repo: Any = Repo(str(workspace))
    found = [Objects(CACHE, str(repo.cache.local.path), repo.cache.local)]
    for name, remote in sorted(repo.config["remote"].items()):
        try:
            found.append(Objects(name, str(remote["url"]), repo.cloud.get_remote_odb(name)))
        except DvcException as error:
            raise ServiceError(str(error), where=name, remedy="mend or remove it: `dvc remote list`") from error
    return found


def _stats(paths: Iterable[str]) -> Iterator[tuple[str, os.stat_result]]:
    """But of those that are gone by now."""
    for path in paths:
        with suppress(FileNotFoundError):
            yield path, os.stat(path)


def _told(info: Any) -> Told:
    """Of what a file system tells; where that has no time, it is as young as can be."""
    if isinstance(info, os.stat_result):
        return Told(info.st_size, datetime.fromtimestamp(info.st_mtime, UTC))
    at = info.get("LastModified", info.get("mtime"))
    if isinstance(at, int | float):
        at = datetime.fromtimestamp(at, UTC)
    return Told(int(info.get("size") or 0), at if isinstance(at, datetime) else datetime.now(UTC))


@contextmanager
def _answering(where: str) -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError
    from dvc.exceptions import DvcException

    try:
        yield
    except (DvcException, BotoCoreError, ClientError, OSError) as error:
        what = f"DVC's files there could not be reached: {' '.join(str(error).split())}"
        raise ServiceError(what, where=where, remedy="`dvc remote list`; see that it answers, or remove it") from error
