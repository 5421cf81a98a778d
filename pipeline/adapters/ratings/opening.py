"""Open the database, and bring its tables to what this version of the code knows."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, func, insert, inspect, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from pipeline.adapters.ratings.ratings import Ratings
from pipeline.adapters.ratings.tables import identity
from pipeline.errors import ParamsError, ServiceError

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
        with engine.begin() as connection:
            _upgrade(connection, shown)
    except SQLAlchemyError as error:
        why = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise ServiceError(f"the feedback's database failed: {why}", where=shown, remedy="start or mend it") from None
    finally:
        engine.dispose()  # connections of this moment; later ones are made anew
    return Ratings(engine, shown)


def _engine(url: str) -> Engine:
    if not url.startswith("sqlite"):
        return create_engine(url, pool_pre_ping=True, pool_size=8, connect_args={"connect_timeout": 10})
    engine = create_engine(url, connect_args={"timeout": WAIT_MS / 1000})

    @event.listens_for(engine, "connect")
    def _settle(connection: Any, _: object) -> None:
        connection.isolation_level = None  # transactions begin where we say, for a writer at once
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", f"busy_timeout = {WAIT_MS}"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        reads = connection.get_execution_options().get("reads", False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine


def _upgrade(connection: Connection, shown: str) -> None:
    """One process at a time: the others find it done."""
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    scripts = ScriptDirectory.from_config(config)
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
