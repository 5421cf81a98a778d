"""A Prefect database with its tables made, kept beside the installation: `python -m flows.prefect_schema` makes it.

Prefect makes its tables by hundreds of migrations, 6 s at the first start of every workspace; a copy takes none.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from pipeline.files import replacing


def template() -> Path:
    return Path(sys.prefix) / "share/genloop" / f"prefect-{version('prefect')}.db"


def make() -> None:
    """Have Prefect make its tables in an empty database. Raises CalledProcessError."""
    with replacing(template()) as temporary, tempfile.TemporaryDirectory() as home:
        database = Path(home) / "prefect.db"
        environment = os.environ | {
            "PREFECT_HOME": home,
            "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{database}",
            "DO_NOT_TRACK": "true",
        }
        command = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"]
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
        shutil.copyfile(database, temporary)


def provide(database: Path) -> None:
    """Put a copy where there is no database yet; without a template Prefect makes its own."""
    if not database.exists() and template().exists():
        with replacing(database) as temporary:
            shutil.copyfile(template(), temporary)


if __name__ == "__main__":
    make()
