"""All that DVC keeps for a workspace, object by object: in its cache, and in each of its remotes."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
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
        oids = self.all()
        with _answering(self.where):
            found = self._odb.fs.info([self._odb.oid_to_path(oid) for oid in oids], return_exceptions=True)
            pairs = zip(oids, found, strict=True)
            return {oid: _told(one) for oid, one in pairs if not isinstance(one, FileNotFoundError)}

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


def _told(info: Any) -> Told:
    """Of what fsspec tells; where that has no time, it is as young as can be."""
    if isinstance(info, Exception):
        raise info
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
