"""A workspace: the files that make a folder one."""

from __future__ import annotations

import shutil
from pathlib import Path


def make_workspace(folder: Path) -> None:
    """What is there already stays."""
    import pipeline
    from pipeline.adapters.versions import initialise

    home = Path(pipeline.__file__).parent
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("params.yaml", "dvc.yaml", ".dvcignore"):
        if not (folder / name).exists():
            shutil.copyfile(home.parent / name, folder / name)
    if not (folder / "pipeline").exists():
        (folder / "pipeline").symlink_to(home)
    initialise(folder)
