"""The whole loop with PostgreSQL in place of SQLite: MLflow's, Prefect's and the feedback's database."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from pipeline.adapters.databases import shown, with_driver
from tests.contract.databases import installed_postgres, new_database
from tests.flows.command import NO_FILTERS, genloop

SMALL = ["train.images_seen=3200", "evaluate.classifier_steps=10", "evaluate.tstr_images=100", NO_FILTERS]
SMALL += ["batches.samples.count=20", "promote.gates={nfd: {at_most: 1000000.0}}", "feedback.learning.least=1000"]
COUNTS = {
    "GENLOOP_MLFLOW_URI": "SELECT count(*) FROM model_versions",
    "GENLOOP_PREFECT_DATABASE_URL": "SELECT count(*) FROM flow_run WHERE state_type = 'COMPLETED'",
    "GENLOOP_FEEDBACK_URL": "SELECT count(*) FROM items",
}


def counted(url: str, query: str) -> int:
    engine = create_engine(url)
    with engine.connect() as connection:
        found = int(connection.scalar(text(query)) or 0)
    engine.dispose()
    return found


@pytest.mark.slow
def test_the_loop_and_a_round_of_feedback(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    assert genloop(workspace, "init", str(workspace)).returncode == 0
    with installed_postgres() as server:
        urls = {name: new_database(server) for name in COUNTS}
        plain = {name: url.replace("+psycopg", "") for name, url in urls.items()}
        settings = [word for pair in SMALL for word in ("-S", pair)]
        done = genloop(workspace, "run", "--json", *settings, **plain)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["model"]["promoted"]
        done = genloop(workspace, "feedback", "run", "--json", **plain)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["enrolled"] == 20
        assert {name: counted(url, COUNTS[name]) for name, url in urls.items()} == {
            "GENLOOP_MLFLOW_URI": 1,
            "GENLOOP_PREFECT_DATABASE_URL": 2,
            "GENLOOP_FEEDBACK_URL": 20,
        }
    left = [path.name for path in (workspace / "var").rglob("*.db")]
    assert left == []


def test_any_way_to_name_postgresql_and_no_password_in_what_is_shown() -> None:
    for url in ("postgres://u:p@h/d", "postgresql://u:p@h/d", "postgresql+psycopg2://u:p@h/d"):
        assert with_driver(url, "asyncpg") == "postgresql+asyncpg://u:p@h/d"
        assert shown(url).endswith("://u:***@h/d")
    assert with_driver("sqlite:///x.db", "psycopg") == shown("sqlite:///x.db") == "sqlite:///x.db"
    assert shown("http://h:5000") == "http://h:5000"
