"""Open the database, and bring its tables to what this version of the code knows."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, func, insert, inspect, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from pipeline.adapters.ratings.failures import told
from pipeline.adapters.ratings.ratings import Ratings
from pipeline.adapters.ratings.tables import identity
from pipeline.errors import ParamsError, ServiceError

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK = 7_205_521_033  # of PostgreSQL's advisory locks: one process migrates
WAIT_MS = 30_000


def open_ratings(url: str) -> Ratings:
    """Raises ParamsError for what is no such URL; ServiceError where the database does not answer, or is newer than
    the code. Secrets of the URL are in no error."""
    try:
        shown = make_url(url).render_as_string(hide_password=True)
        engine = _engine(url)
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        remedy = "such as postgresql+psycopg://user:password@host/database, with genloop[postgres] installed"
        raise ParamsError(f"no database's URL: {error}", where="GENLOOP_FEEDBACK_URL", remedy=remedy) from None
    try:
        with told(shown):
            if not _is_newest(engine):
                with engine.begin() as connection:
                    _upgrade(connection, shown)
    finally:
        engine.dispose()  # connections of this moment; later ones are made anew
    return Ratings(engine, shown)


def _engine(url: str) -> Engine:
    address = make_url(url)
    return _sqlite(address) if address.get_backend_name() == "sqlite" else _server(address)


def _server(address: URL) -> Engine:
    engine = create_engine(address, pool_pre_ping=True, pool_size=8, connect_args={"connect_timeout": 10})
    if engine.dialect.name != "postgresql":
        raise ArgumentError(f"{engine.dialect.name} is neither SQLite nor PostgreSQL")

    @event.listens_for(engine, "connect")
    def _settle(connection: Any, _: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = {WAIT_MS}")
            cursor.execute("SHOW synchronous_commit")
            if cursor.fetchone()[0] == "off":  # an answered verdict must outlive the server
                cursor.execute("SET synchronous_commit = on")
        connection.commit()

    return engine


def _sqlite(address: URL) -> Engine:
    if address.database in (None, "", ":memory:"):
        raise ArgumentError("it has no path")
    path = Path(str(address.database))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ServiceError(f"can't be made: {error.strerror}", where=str(path), remedy="give another path") from None
    engine = create_engine(address, connect_args={"timeout": WAIT_MS / 1000}, pool_size=8, max_overflow=56)

    @event.listens_for(engine, "connect")
    def _settle(connection: Any, _: object) -> None:
        connection.isolation_level = None  # transactions begin where we say, for a writer at once
        _write_ahead(connection)
        for pragma in ("synchronous = FULL", "foreign_keys = ON", f"busy_timeout = {WAIT_MS}"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        reads = connection.get_execution_options().get("reads", False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine


def _write_ahead(connection: Any) -> None:
    """Two that change the mode of a fresh file at one moment are not made to wait by SQLite, whatever the timeout."""
    import sqlite3

    end = time.monotonic() + WAIT_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.01)


def _is_newest(engine: Engine) -> bool:
    """Without waiting for anybody who writes."""
    with engine.connect().execution_options(reads=True) as connection:
        return _revision(connection) == _scripts().get_current_head()


def _scripts() -> ScriptDirectory:
    from alembic.script import ScriptDirectory

    return ScriptDirectory(str(MIGRATIONS))


def _upgrade(connection: Connection, shown: str) -> None:
    """One process at a time: the others find it done."""
    from alembic import command
    from alembic.config import Config

    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    scripts = _scripts()
    found = _revision(connection)
    if found == scripts.get_current_head():
        return
    if found is not None and found not in {script.revision for script in scripts.walk_revisions()}:
        raise ServiceError(
            f"the feedback's database is of a newer version ({found})", where=shown, remedy="update genloop"
        )
    command.upgrade(config, "head")
    if not connection.execute(select(func.count()).select_from(identity)).scalar():
        connection.execute(insert(identity).values(id=secrets.token_hex(16), position=0))


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found
