"""DVC: staleness of the stages, and versions of what they make."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from pipeline.errors import ServiceError


class Versions:
    """The DVC repository of a workspace."""

    def __init__(self, workspace: Path) -> None:
        from dvc.exceptions import DvcException
        from dvc.repo import Repo

        logging.getLogger("dvc").setLevel(logging.WARNING)  # its hints are for those who type its commands
        try:
            self._repo: Any = Repo(str(workspace))
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
        """Take what stands in the workspace as that stage's result."""
        self._repo.commit(stage, force=True)

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

    def push(self) -> int:
        """Send what the remote lacks of the workspace's versions; how many files. Raises ServiceError."""
        from botocore.exceptions import BotoCoreError, ClientError
        from dvc.exceptions import DvcException

        try:
            return int(self._repo.push())
        except (DvcException, BotoCoreError, ClientError, OSError) as error:
            where = self._repo.config["remote"].get("store", {}).get("url", "")
            what = f"DVC could not push: {error}"
            raise ServiceError(what, where=where, remedy="`dvc push` shows it alone") from error


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
