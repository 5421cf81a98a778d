"""What a workspace exchanges with another one by DVC's remote: files by their hashes, a stage's entry in dvc.lock."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.adapters.versions import Versions
from pipeline.files import replacing

CODE = "pipeline"  # where the code lies, in a workspace


class Exchange(Versions):
    """Raises ServiceError where the remote can't be reached, GenloopError where it lacks what is wanted."""

    def share_cache(self, folder: Path) -> None:
        """Have the files of this workspace lie there, beside those of others."""
        with self._repo.config.edit("local") as config:
            config["cache"]["dir"] = str(folder)

    def is_stale(self, stage: str) -> bool:
        """Whether it would run."""
        return bool(self._repo.status(targets=[stage]))

    def code_of(self, stage: str) -> dict[str, str]:
        """MD5 of each file and folder of code that the stage depends on, by path."""
        return {path: _hash_of(dep) for path, dep in self._deps(stage).items() if _is_code(path)}

    def data_of(self, stage: str) -> list[str]:
        """Paths of the data that the stage depends on."""
        return [path for path in self._deps(stage) if not _is_code(path)]

    def entry_of(self, stage: str) -> dict[str, Any]:
        """As dvc.lock has it."""
        from ruamel.yaml import YAML

        return dict(YAML(typ="safe").load(self._root / "dvc.lock")["stages"][stage])

    def enter(self, stage: str, entry: dict[str, Any]) -> None:
        """Have dvc.lock say so, and what it says stand in the workspace; its files are in the cache."""
        with self._changed_lock() as lock:
            lock["stages"][stage] = entry
        fresh = Exchange(self._root)  # one that reads the lock anew
        for out in fresh._stage(stage).outs:
            if out.use_cache:
                fresh._repo.checkout(targets=[out.def_path], force=True)
            else:
                with replacing(self._root / out.def_path) as temporary:
                    shutil.copyfile(self._repo.cache.local.oid_to_path(out.hash_info.value), temporary)

    def send(self, paths: Sequence[str]) -> dict[str, str]:
        """Files and folders of the workspace into the cache and the remote; their MD5 by path."""
        sent = {path: str(self.store(self._root / path)["md5"]) for path in paths}
        self.push_folders(list(sent.values()))
        return sent

    def fetch(self, md5: str) -> None:
        """A file or folder into the cache."""
        if md5.endswith(".dir"):
            self.files(md5)
        else:
            self._fetch(md5, [md5])

    def check_out(self, paths: Sequence[str]) -> None:
        """Bring outputs of stages into the workspace as dvc.lock says, from the remote what the cache lacks."""
        wanted = {out.def_path: out for stage in self._repo.index.stages for out in stage.outs}
        for path in paths:
            self.fetch(str(wanted[path].hash_info.value))
        self._repo.checkout(targets=list(paths), force=True)

    def write(self, name: str, data: bytes) -> None:
        """An object beside DVC's own in the remote."""
        with self._reaching_remote():
            remote = self._repo.cloud.get_remote_odb()
            remote.fs.fs.pipe_file(remote.fs.join(remote.path, name), data)

    def read(self, name: str) -> bytes | None:
        with self._reaching_remote():
            remote = self._repo.cloud.get_remote_odb()
            remote.fs.fs.invalidate_cache()
            path = remote.fs.join(remote.path, name)
            return bytes(remote.fs.fs.cat_file(path)) if remote.fs.exists(path) else None

    def _stage(self, stage: str) -> Any:
        return self._repo.stage.load_one(name=stage)

    def _deps(self, stage: str) -> dict[str, Any]:
        from dvc.dependency import ParamsDependency

        return {dep.def_path: dep for dep in self._stage(stage).deps if not isinstance(dep, ParamsDependency)}


def _is_code(path: str) -> bool:
    return Path(path).parts[0] == CODE


def _hash_of(dep: Any) -> str:
    dep.save()
    return str(dep.hash_info.value)
