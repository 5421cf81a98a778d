"""DVC: staleness of the stages, and versions of what they make."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import copyfile, rmtree
from typing import IO, Any

from pipeline.errors import GenloopError, ServiceError
from pipeline.files import replacing


class Versions:
    """The DVC repository of a workspace."""

    def __init__(self, workspace: Path) -> None:
        from dvc.exceptions import DvcException
        from dvc.repo import Repo

        logging.getLogger("dvc").setLevel(logging.WARNING)  # its hints are for those who type its commands
        try:
            self._repo: Any = Repo(str(workspace), fs=_whole_files())
            self._repo.config.wfs = self._repo.fs  # of the files that are this machine's alone
            self._root = workspace
        except DvcException as error:
            raise ServiceError(str(error), where=str(workspace), remedy="`genloop init` makes a workspace") from error

    def reproduce(self, stage: str) -> bool:
        """Run one stage unless it is up to date; whether it ran. Raises ServiceError when its command fails."""
        from dvc.exceptions import DvcException

        try:
            with self._repo.lock:
                pass
            ran = self._repo.reproduce(stage, single_item=True)
        except DvcException as error:
            cause = error.__cause__ or error
            raise ServiceError(f"stage {stage}: {cause}", remedy=f"`dvc repro {stage}` shows it alone") from error
        return bool(ran)

    def commit(self, stage: str) -> None:
        """Take what stands in the workspace as that stage's result. Raises ServiceError."""
        from dvc.exceptions import DvcException

        try:
            self._repo.commit(stage, force=True)
        except DvcException as error:
            raise ServiceError(f"stage {stage}: {error}", remedy=f"`dvc commit {stage}` shows it alone") from error

    def stored(self, stage: str, out: str) -> dict[str, Any]:
        """How dvc.lock knows a stage's output: md5, size and nfiles."""
        entry = self._locked(self._lock(), stage, out)
        return {name: entry[name] for name in ("md5", "size", "nfiles")}

    def files(self, md5: str) -> dict[str, Path]:
        """Each file of a stored folder, by its path in it, where it lies in the cache; fetched where it is missing.

        Raises GenloopError where neither cache nor remote has it.
        """
        cache, found = self._repo.cache.local, self._tree(md5)
        self._fetch(md5, found.values())
        return {name: Path(cache.oid_to_path(oid)) for name, oid in found.items()}

    def _tree(self, md5: str) -> dict[str, str]:
        """The md5 of each file of a stored folder, by its path in it."""
        from dvc_data.hashfile.hash_info import HashInfo
        from dvc_data.hashfile.tree import Tree

        self._fetch(md5, [md5])
        tree = Tree.load(self._repo.cache.local, HashInfo("md5", md5))
        return {"/".join(key): str(info.value) for key, (_, info) in tree.iteritems()}  # type: ignore[no-untyped-call]

    def _fetch(self, md5: str, oids: Iterable[str]) -> None:
        """What the cache lacks of these, from the remote."""
        cache = self._repo.cache.local
        wanted = [oid for oid in oids if not cache.exists(oid)]
        if not wanted:
            return
        from dvc.exceptions import DvcException
        from dvc_data.hashfile.hash_info import HashInfo
        from dvc_data.hashfile.transfer import transfer

        lost = GenloopError(
            "a version's files are in neither DVC's cache nor its remote",
            where=md5,
            remedy="look whether the remote is set (`dvc remote list`) and reached (`dvc fetch`)",
        )
        try:
            remote = self._repo.cloud.get_remote_odb()
            transfer(remote, cache, {HashInfo("md5", oid) for oid in wanted})
        except (DvcException, OSError) as error:
            raise lost from error
        if not all(map(cache.exists, wanted)):  # what the source lacks too is passed over in silence
            raise lost

    def altered(self, stage: str, out: str) -> dict[str, str]:
        """Files of a stage's output that are not what dvc.lock has of them, or are gone, by name their md5 as it was.
        A file whose size and time DVC knows is not read again. Nothing, where DVC does not know the output."""
        from dvc.fs import LocalFileSystem
        from dvc_data.hashfile.hash import hash_file

        try:
            tree = self._tree(str(self.stored(stage, out)["md5"]))
        except (FileNotFoundError, KeyError, StopIteration, GenloopError):
            return {}
        fs, found = LocalFileSystem(), dict[str, str]()
        for name, oid in tree.items():
            path = self._root / out / name
            if not path.exists() or hash_file(str(path), fs, "md5", state=self._repo.state)[1].value != oid:
                found[name] = oid
        return found

    def bring_back(self, out: str, files: Mapping[str, str]) -> None:
        """Files of an output as they were, from DVC's cache, or else its remote. files: md5 by name. Raises
        GenloopError where neither has them."""
        self.drop_damaged(files.values())
        for name, oid in files.items():
            self._fetch(oid, [oid])
            with replacing(self._root / out / name) as temporary:
                copyfile(self._repo.cache.local.oid_to_path(oid), temporary)

    def drop_damaged(self, oids: Iterable[str]) -> None:
        """Take from DVC's cache what is not what it is called by."""
        for oid in oids:
            path = Path(self._repo.cache.local.oid_to_path(oid))
            if path.exists() and _md5(path) != oid:
                path.chmod(0o644)
                path.unlink()

    def discard(self, stage: str, out: str) -> None:
        """Have a stage's output made anew: out of the workspace, and out of the cache what is damaged there."""
        with suppress(FileNotFoundError, KeyError, StopIteration, GenloopError):
            self.drop_damaged(self._tree(str(self.stored(stage, out)["md5"])).values())
        rmtree(self._root / out, ignore_errors=True)

    def restore(self, stage: str, out: str, stored: Mapping[str, Any]) -> None:
        """Bring a stored folder back as that stage's output, in dvc.lock and in the workspace."""
        self.files(str(stored["md5"]))
        with self._changed_lock() as lock:
            self._locked(lock, stage, out).update(stored)
        Versions(self._root)._repo.checkout(targets=[out], force=True)  # one that reads the lock anew

    def store(self, folder: Path) -> dict[str, Any]:
        """Put a folder into the cache; md5, size and nfiles, as `stored` tells them."""
        from dvc_data.hashfile.build import build
        from dvc_data.hashfile.transfer import transfer
        from dvc_objects.fs.local import localfs

        cache = self._repo.cache.local
        staging, meta, made = build(cache, str(folder), localfs, "md5")
        if (done := transfer(staging, cache, {made.hash_info}, shallow=False)).failed:
            raise GenloopError(f"{len(done.failed)} files could not be put into DVC's cache", where=str(folder))
        return {"md5": made.hash_info.value, "size": meta.size, "nfiles": meta.nfiles}

    def drop(self, stages: Sequence[str]) -> None:
        """Take stages for never run."""
        with self._changed_lock() as lock:
            for stage in stages:
                lock["stages"].pop(stage, None)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """While inside, no command of DVC changes anything here. Raises ServiceError where one is at work."""
        from dvc.lock import LockError

        try:
            lock = self._repo.lock
            lock.lock()
        except LockError as error:
            raise ServiceError(str(error), where=str(self._root), remedy="wait for it, then run again") from error
        try:
            yield
        finally:
            lock.unlock()

    @contextmanager
    def _changed_lock(self) -> Iterator[Any]:
        """dvc.lock, to be changed inside and written afterwards."""
        lock = self._lock()
        yield lock
        with replacing(self._root / "dvc.lock") as temporary:
            self._yaml().dump(lock, temporary)

    def _lock(self) -> Any:
        return self._yaml().load(self._root / "dvc.lock")

    def _locked(self, lock: Any, stage: str, out: str) -> Any:
        return next(entry for entry in lock["stages"][stage]["outs"] if entry["path"] == out)

    @staticmethod
    def _yaml() -> Any:
        from ruamel.yaml import YAML

        return YAML()

    def changed(self) -> dict[str, Any]:
        return dict(self._repo.status())

    def set_remote(self, url: str, endpoint: str, credentials: Path | None) -> None:
        """Point the default remote of this machine (config.local) at the object store."""
        remote: dict[str, str] = {"url": url}
        if endpoint:
            remote["endpointurl"] = endpoint
        if credentials:
            remote |= {"credentialpath": str(credentials), "profile": "default"}  # named, it goes before AWS_*
        local = self._repo.config.load_one("local")
        if local.get("remote", {}).get("store") == remote and local.get("core", {}).get("remote") == "store":
            return
        with self._repo.config.edit("local") as config:
            config["remote"]["store"] = remote
            config["core"]["remote"] = "store"

    @property
    def aimed(self) -> bool:
        """Whether the default remote of this machine is one that `set_remote` made."""
        return "store" in self._repo.config.load_one("local").get("remote", {})

    def push(self) -> int:
        """Send what the remote lacks of the workspace's versions; how many files. Raises ServiceError."""
        with self._reaching_remote():
            return int(self._repo.push())

    def push_folders(self, folders: Sequence[str], remote: str | None = None) -> int:
        """Send what the remote lacks of stored folders and their files; how many of them. Raises ServiceError."""
        from dvc_data.hashfile.hash_info import HashInfo
        from dvc_data.hashfile.transfer import transfer

        wanted = {HashInfo("md5", md5) for md5 in folders}
        with self._reaching_remote():
            sent = transfer(self._repo.cache.local, self._repo.cloud.get_remote_odb(remote), wanted, shallow=False)
            if sent.failed:
                raise OSError(f"{len(sent.failed)} files could not be sent")
            return len(sent.transferred)

    @contextmanager
    def _reaching_remote(self) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError
        from dvc.exceptions import DvcException

        try:
            yield
        except (DvcException, BotoCoreError, ClientError, OSError) as error:
            where = self._repo.config["remote"].get("store", {}).get("url", "")
            what = f"DVC could not push: {error}"
            raise ServiceError(what, where=where, remedy="`dvc push` shows it alone") from error


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _whole_files() -> Any:
    """The files of a workspace, where what is written takes its place whole: DVC empties dvc.lock, the list of who is
    at work (.dvc/tmp/rwlock) and its configuration before it fills them, and one that is killed in between leaves a
    workspace in which nothing works any more."""
    from dvc.fs import LocalFileSystem

    class WholeFiles(LocalFileSystem):  # type: ignore[misc]
        def open(self, path: Any, mode: str = "r", **options: Any) -> Any:
            if "w" not in mode:
                return super().open(path, mode, **options)
            return _whole(Path(path), mode, options.get("encoding"))

    return WholeFiles()


@contextmanager
def _whole(path: Path, mode: str, encoding: str | None) -> Iterator[IO[Any]]:
    with replacing(path) as temporary, temporary.open(mode, encoding=encoding) as file:
        yield file


def has_stage(workspace: Path, stage: str) -> bool:
    """Whether the workspace's dvc.yaml has it: one that an earlier version made need not."""
    from ruamel.yaml import YAML

    return stage in YAML(typ="safe").load(workspace / "dvc.yaml")["stages"]


def initialise(workspace: Path) -> None:
    """`dvc init`, within git where there is one; telemetry off."""
    from dvc.repo import Repo

    if (workspace / ".dvc").is_dir():
        return
    repo = Repo.init(str(workspace), no_scm=not (workspace / ".git").exists())
    with repo.config.edit("repo") as config:
        config["core"]["analytics"] = False
        config["core"]["autostage"] = False
        config["core"]["check_update"] = False
        config["cache"]["type"] = ["reflink", "hardlink", "copy"]
    repo.close()
