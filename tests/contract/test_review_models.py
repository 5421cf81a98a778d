"""An expert's word on a model, given on the page: with the real registry, and the real command behind it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from flows.candidates import Candidates
from pipeline.adapters.approvals import approval_of
from pipeline.adapters.ratings import open_ratings
from pipeline.adapters.store import FolderStore
from pipeline.review.app import make_app
from pipeline.review.serving import Serving
from pipeline.reviews import Reviewer
from tests.contract.test_review_api import AWAY, HOME, SECRET, logged_in
from tests.contract.waiting import NAME, registry_of, with_waiting


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    with_waiting(tmp_path)
    return tmp_path


@pytest.fixture
def page(workspace: Path) -> Iterator[TestClient]:
    serving = Serving.model_validate({"secret": SECRET, "local": "owner"})
    with open_ratings(f"sqlite:///{workspace}/review.db") as ratings:
        store, models = FolderStore(workspace / "store"), Candidates(workspace, NAME)
        app = make_app(ratings, lambda bucket: store, serving, lambda verdict: None, models=models)
        yield TestClient(app, raise_server_exceptions=False, follow_redirects=False, **HOME)  # type: ignore[arg-type]


def champion(workspace: Path) -> int:
    found = registry_of(workspace).champion(NAME)
    assert found is not None
    return found.version


def said(page: TestClient, version: int, say: str, why: str = "", csrf: str | None = None) -> int:
    csrf = page.get("/api/me").json()["csrf"] if csrf is None else csrf
    return page.post(f"/models/{version}", data={"say": say, "why": why, "csrf": csrf}).status_code


def test_what_waits_is_shown_with_its_gates_and_promoted(page: TestClient, workspace: Path) -> None:
    text = page.get("/models").text
    assert "generator v2" in text and "nfd against champion" in text and "at most 0.93" in text
    assert re.findall(r'value="(promote|reject)"', text) == ["promote", "reject"]
    assert "v1" not in text and "v3" not in text
    assert said(page, 2, "promote", why="sharper --reject\n7s") == 303
    assert champion(workspace) == 2
    registry = registry_of(workspace)
    model = registry.version(NAME, 2)
    assert model
    given = approval_of(registry, model)
    assert given and (given.state, given.by, given.why) == ("approved", "owner", "sharper --reject 7s")
    after = page.get("/models").text
    assert "approved by owner" in after and 'value="promote"' not in after
    assert said(page, 2, "reject", why="too late") == 404


def test_a_rejection_has_a_reason_and_changes_no_champion(page: TestClient, workspace: Path) -> None:
    assert said(page, 2, "reject", why="  ") == 422
    assert said(page, 2, "reject", why="its 4s are broken") == 303
    assert champion(workspace) == 1
    assert "rejected by owner" in page.get("/models").text


def test_who_may_not_say_so(page: TestClient, workspace: Path) -> None:
    assert said(page, 2, "promote", csrf="made up") == 403
    for version in (1, 3, 4):
        assert said(page, version, "promote") == 404  # it does not wait
    assert said(page, 2, "dance") == 422
    with open_ratings(f"sqlite:///{workspace}/review.db") as ratings:
        token = ratings.add_reviewer(Reviewer(name="ann", role="reviewer"))
    away = TestClient(page.app, raise_server_exceptions=False, follow_redirects=False, **AWAY)  # type: ignore[arg-type]
    assert away.get("/models").headers["location"] == "/login?next=%2Fmodels"
    csrf = logged_in(away, "ann", token)
    text = away.get("/models").text
    assert "An expert can answer" in text and 'value="promote"' not in text
    assert said(away, 2, "promote", csrf=csrf) == 403
    assert champion(workspace) == 1


def test_a_report_runs_nothing(page: TestClient) -> None:
    answer = page.get("/models/2/report")
    assert "nfd 0.81" in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert "sandbox" in answer.headers["content-security-policy"]
    assert page.get("/models/1/report").status_code == 404
