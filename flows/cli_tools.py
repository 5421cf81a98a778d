"""What every command of `genloop` begins and ends with."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.errors import GenloopError, ParamsError, SourceError

LOOK_S, BLINK_S = 1.0, 0.3
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, all else on stderr.")]


def prepare() -> Path:
    from pipeline.environment import workspace

    return prepare_at(workspace())


def known_workspace(root: Path) -> Path:
    """Raises ParamsError where it is none."""
    if not (root / "dvc.yaml").exists():
        raise ParamsError("not a workspace", where=str(root), remedy="`genloop init FOLDER` makes one")
    return root


def prepare_at(root: Path) -> Path:
    """Raises ParamsError where it is no workspace."""
    from pipeline.adapters.versions import initialise

    known_workspace(root)
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    os.environ.setdefault("DO_NOT_TRACK", "true")
    initialise(root)
    os.environ["GENLOOP_WORKSPACE"] = str(root)
    os.chdir(root)  # DVC reads paths from where it stands
    return root


def read_params(root: Path, source: str | None, settings: list[str] | None) -> Any:
    from pipeline.params_file import override_params

    pairs = list(settings or [])
    if source is not None:
        pairs.insert(0, f"collect.source={json.dumps(_relative(source, root))}")
    return override_params(root / "params.yaml", pairs)


def _relative(source: str, root: Path) -> str:
    if "://" in source:
        return source
    if not Path(source).exists():
        raise SourceError("there is nothing there", where=source, remedy="check the path")
    return os.path.relpath(source, root)


class only_run:
    """One run a workspace at a time; a second one is refused."""

    def __init__(self, root: Path, wait_s: float = 0.0) -> None:
        """wait_s: for the one that is at work, at most. Who only looks whether one is holds the lock for a moment."""
        self.until = time.monotonic() + max(wait_s, BLINK_S)
        (root / "var").mkdir(exist_ok=True)
        self.file = (root / "var/run.lock").open("w")

    def __enter__(self) -> None:
        import fcntl

        while True:
            try:
                return fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= self.until:
                    self.file.close()
                    remedy = "wait for it, or use another workspace"
                    raise GenloopError("another run is at work here", remedy=remedy) from None
            time.sleep(min(LOOK_S, max(0.02, self.until - time.monotonic()) / 3))

    def __exit__(self, *error: object) -> None:
        self.file.close()


def is_locked(root: Path) -> bool:
    """Whether a run is at work here. Nothing is written, and others may look at the same moment."""
    import fcntl

    try:
        with (root / "var/run.lock").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


class stdout_for_json:
    """While inside, everything printed goes to stderr, also by child processes; `write` reaches the real stdout."""

    def __init__(self, active: bool) -> None:
        self.active = active

    def __enter__(self) -> Any:
        if not self.active:
            return print
        sys.stdout.flush()
        self.kept = os.dup(1)
        os.dup2(2, 1)
        return lambda text: os.write(self.kept, (text + "\n").encode())

    def __exit__(self, *error: object) -> None:
        if self.active:
            sys.stdout.flush()
            os.dup2(self.kept, 1)
            os.close(self.kept)


def show(renderable: Any) -> None:
    from rich.console import Console

    Console().print(renderable)
