"""The review page's addresses, asked by friends and foes: on its real database and real batches, without a browser."""

from __future__ import annotations

import json
import logging
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import schemathesis
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from moto.server import ThreadedMotoServer
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks as conformance

from pipeline.adapters.ratings import Ratings, open_ratings
from pipeline.adapters.store import FolderStore, S3Store
from pipeline.errors import ParamsError, ServiceError
from pipeline.feedback.events import sign
from pipeline.generate.enrolling import items_of
from pipeline.review.app import make_app, serve
from pipeline.review.events import signed_events
from pipeline.review.serving import Proxy, Rates, Serving, is_loopback, secret_of
from pipeline.reviews import Reviewer, Verdict
from pipeline.values import Batch
from tests.contract.delivering import delivered

SECRET, EVENTS = b"s" * 32, "an events secret of some length"
HOME = {"base_url": "http://127.0.0.1:8000", "client": ("127.0.0.1", 50000)}
AWAY = {"base_url": "http://review.example.org", "client": ("10.1.2.3", 50000)}
KEY = "key-0001"
CHECKS = (
    not_a_server_error,
    conformance.status_code_conformance,
    conformance.content_type_conformance,
    conformance.response_schema_conformance,
)


class Served:
    def __init__(self, root: Path, batch: Batch, ratings: Ratings, settings: Serving) -> None:
        self.store, self.batch, self.ratings = FolderStore(root / "store"), batch, ratings
        self.withdrawn: list[Verdict] = []
        outcomes = signed_events(ratings, [EVENTS])
        self.app: FastAPI = make_app(ratings, lambda bucket: self.store, settings, self.withdrawn.append, outcomes)

    def item(self, number: int) -> str:
        return f"{self.batch.id}-{number:08d}"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Batch]:
    root = tmp_path_factory.mktemp("made")
    store = FolderStore(root / "store")
    _, batch = delivered(root, lambda bucket: store, count=12)
    return root, batch


@pytest.fixture
def ratings(tmp_path: Path, made: tuple[Path, Batch]) -> Iterator[Ratings]:
    with open_ratings(f"sqlite:///{tmp_path}/review.db") as ratings:
        ratings.enroll(made[1].id, items_of(FolderStore(made[0] / "store"), made[1]), 0.25)
        yield ratings


def served(made: tuple[Path, Batch], ratings: Ratings, **asked: object) -> Served:
    told = {"secret": SECRET, "local": "owner", **asked}
    return Served(made[0], made[1], ratings, Serving.model_validate(told))


def client(one: Served, where: dict[str, object] = HOME) -> TestClient:
    return TestClient(one.app, raise_server_exceptions=False, follow_redirects=False, **where)  # type: ignore[arg-type]


def csrf_of(asking: TestClient) -> dict[str, str]:
    return {"X-CSRF-Token": asking.get("/api/me").json()["csrf"]}


def logged_in(asking: TestClient, name: str, token: str) -> str:
    """The session's CSRF token."""
    sent = re.search(r'name="csrf" value="(\w+)"', asking.get("/login").text)
    assert sent
    answer = asking.post("/login", data={"name": name, "token": token, "csrf": sent[1], "next": "/"})
    assert answer.status_code == 303, answer.text
    return str(asking.get("/api/me").json()["csrf"])


def verdict(one: Served, number: int = 0, key: str = KEY, **said: object) -> dict[str, object]:
    return {"acts": [{"key": key, "item": one.item(number), **({"accepted": True} | said)}]}


def test_without_a_reviewer_only_this_machine_gets_in(made: tuple[Path, Batch], ratings: Ratings) -> None:
    one = served(made, ratings)
    assert client(one).get("/api/me").json()["role"] == "expert"
    for asking in (
        client(one, AWAY),
        client(one, {**HOME, "base_url": "http://evil.example"}),  # a name that was made to lead here
        client(one, {**HOME, "client": ("10.1.2.3", 1)}),
        TestClient(one.app, headers={"X-Forwarded-For": "10.1.2.3"}, **HOME),  # type: ignore[arg-type]
    ):
        assert asking.get("/api/me").status_code == 401
    with pytest.raises(ParamsError, match="no reviewer has a token"):
        serve(one.app, "0.0.0.0", 0)
    ratings.add_reviewer(Reviewer(name="ann", role="reviewer"))
    time.sleep(1.1)
    assert client(one).get("/api/me").status_code == 401


def test_no_session_no_page_and_back_to_it_after_logging_in(made: tuple[Path, Batch], ratings: Ratings) -> None:
    one = served(made, ratings)
    token = ratings.add_reviewer(Reviewer(name="ann", role="reviewer"))
    asking = client(one, AWAY)
    answer = asking.get(f"/batches/{one.batch.id}?label=cat")
    assert (answer.status_code, answer.headers["location"]) == (
        303,
        f"/login?next=%2Fbatches%2F{one.batch.id}%3Flabel%3Dcat",
    )
    logged_in(asking, "ann", token)
    cookie = asking.get("/").headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "Secure" not in cookie
    assert asking.get("/login?next=//evil.example").headers["location"] == "/"
    assert asking.get("/login?next=/\\evil.example").headers["location"] == "/"
    fresh = ratings.add_reviewer(Reviewer(name="ann", role="reviewer"))
    time.sleep(1.1)
    assert asking.get("/api/me").status_code == 401  # the session ends with the token
    logged_in(asking, "ann", fresh)
    ratings.remove_reviewer("ann")
    time.sleep(1.1)
    assert asking.get("/api/me").status_code == 401


def test_cookies_are_secure_over_https(made: tuple[Path, Batch], ratings: Ratings) -> None:
    ratings.add_reviewer(Reviewer(name="ann", role="reviewer"))
    for one, base in (
        (served(made, ratings), "https://review.example.org"),
        (served(made, ratings, secure=True), "http://review.example.org"),
    ):
        answer = client(one, {**AWAY, "base_url": base}).get("/login")
        assert "__Host-genloop=" in answer.headers["set-cookie"] and "Secure" in answer.headers["set-cookie"]
        assert "max-age" in answer.headers["strict-transport-security"]


def test_what_changes_something_comes_from_our_own_page(made: tuple[Path, Batch], ratings: Ratings) -> None:
    one = served(made, ratings)
    asking = client(one)
    good = csrf_of(asking)
    posts = {
        "/api/verdicts": verdict(one),
        "/api/undo": {"acts": [{"key": KEY, "item": one.item(0)}]},
        "/api/choices": {"acts": [{"key": KEY, "left": one.item(0), "right": one.item(1), "better": "left"}]},
        "/api/concerns": {"key": KEY, "item": one.item(0), "concern": "harmful"},
    }
    for path, body in posts.items():
        assert asking.post(path, json=body).status_code == 403
        assert asking.post(path, json=body, headers={"X-CSRF-Token": "0" * 64}).status_code == 403
        assert client(one).post(path, json=body, headers=good).status_code == 403  # another session's
        for foreign in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
            answer = asking.post(path, json=body, headers={**good, **foreign})
            assert answer.status_code == 403 and "another site" in answer.json()["error"]
    assert not ratings.history(one.item(0)) and not one.withdrawn
    form = asking.post("/login", data={"name": "a", "token": "b", "csrf": "0", "next": "/"})
    assert form.status_code == 403
    own = {**good, "Origin": "http://127.0.0.1:8000"}
    assert asking.post("/api/verdicts", json=verdict(one), headers=own).status_code == 200


def test_a_reviewer_raises_no_concern_an_expert_does(made: tuple[Path, Batch], ratings: Ratings) -> None:
    one = served(made, ratings)
    tokens = {role: ratings.add_reviewer(Reviewer(name=role, role=role)) for role in ("reviewer", "expert")}  # type: ignore[arg-type]
    body = {"key": KEY, "item": one.item(3), "concern": "biased", "note": "why"}
    for role, status in (("reviewer", 403), ("expert", 200)):
        asking = client(one, AWAY)
        csrf = logged_in(asking, role, tokens[role])
        shown = asking.get(f"/api/items/{one.item(3)}").json()
        assert asking.get(shown["image"]).status_code == 200
        answer = asking.post("/api/concerns", json=body, headers={"X-CSRF-Token": csrf})
        assert answer.status_code == status
        sneaked = verdict(one, 4, "key-0009", concern="harmful")
        assert asking.post("/api/verdicts", json=sneaked, headers={"X-CSRF-Token": csrf}).status_code == 422
    assert [(v.item, v.concern, v.reviewer) for v in one.withdrawn] == [(one.item(3), "biased", "expert")]
    assert asking.get(shown["image"]).status_code == 404 and asking.get(shown["small"]).status_code == 404
    assert asking.get(f"/api/items/{one.item(3)}").status_code == 404
    queue = asking.get(f"/api/batches/{one.batch.id}/queue").json()["items"]
    assert one.item(3) not in {item["item"] for item in queue} and len(queue) == 11
    answer = asking.post("/api/verdicts", json=verdict(one, 3, "key-0010"), headers={"X-CSRF-Token": csrf})
    assert "withdrawn" in answer.json()["refused"][0]["error"] and not ratings.open_concerns()


def test_a_withdrawal_that_fails_hides_the_item_and_stays_open(made: tuple[Path, Batch], ratings: Ratings) -> None:
    def broken(found: Verdict) -> None:
        raise ServiceError("S3 is away")

    one = served(made, ratings)
    app = make_app(ratings, lambda bucket: one.store, Serving(secret=SECRET, local="owner"), broken)  # type: ignore[arg-type]
    asking = TestClient(app, **HOME)  # type: ignore[arg-type]
    body = {"key": KEY, "item": one.item(3), "concern": "biased"}
    address = asking.get(f"/api/items/{one.item(3)}").json()["image"]
    answer = asking.post("/api/concerns", json=body, headers=csrf_of(asking)).json()
    assert answer == {"item": one.item(3), "withdrawn": False, "error": "S3 is away"}
    assert [v.item for v in ratings.open_concerns()] == [one.item(3)] and asking.get(address).status_code == 404
    with client(one):  # another start, with an S3 that is there
        for _ in range(100):
            if not ratings.open_concerns():
                break
            time.sleep(0.05)
    assert [v.item for v in one.withdrawn] == [one.item(3)]


def test_addresses_of_images(made: tuple[Path, Batch], ratings: Ratings) -> None:
    one = served(made, ratings)
    asking = client(one)
    shown = asking.get(f"/api/items/{one.item(5)}").json()
    answer = client(one, AWAY).get(shown["image"])  # who has the address needs no session
    assert answer.status_code == 200 and answer.headers["content-type"] == "image/png"
    assert re.fullmatch(r"private, max-age=\d+, immutable", answer.headers["cache-control"])
    assert "sandbox" in answer.headers["content-security-policy"]
    until = int(re.search(r"until=(\d+)", shown["image"])[1])  # type: ignore[index]
    for forged in (
        shown["image"].replace(one.item(5), one.item(6)),
        shown["image"].replace(str(until), str(until + 1)),
        shown["image"].replace("size=full", "size=small"),
        shown["image"].replace("sig=", "sig=0"),
        re.sub("sig=.*", "sig=%C3%A9", shown["image"]),
        shown["image"].replace(str(until), "1"),
    ):
        assert asking.get(forged).status_code == 403
    query = shown["image"].partition("?")[2]
    for tricky in ("..%2f..%2freview.db", "%2e%2e", f"{one.item(5)}%00", f"{one.item(5)}-..%2fx", "x" * 3000, "0"):
        assert asking.get(f"/images/{tricky}?{query}").status_code in (404, 422)
    for tricky in ("/static/../place.py", "/static/%2e%2e/place.py", "/static/..%2fplace.py", "/static//etc/passwd"):
        assert asking.get(tricky).status_code == 404
    unknown = one.item(5).replace(one.batch.id, "0" * 16)
    assert asking.get(f"/images/{unknown}?{query}").status_code == 403


def test_an_item_that_is_an_object_is_had_from_the_store(
    tmp_path: Path, ratings: Ratings, monkeypatch: pytest.MonkeyPatch
) -> None:
    import boto3

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "any")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        endpoint = "http://{}:{}".format(*server.get_host_and_port())
        boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket="genloop")
        login = tmp_path / "login"
        login.write_text("[default]\naws_access_key_id = any\naws_secret_access_key = any\n")
        store = S3Store("genloop", endpoint, login)
        order, batch = delivered(tmp_path, lambda bucket: store, layout="files", count=3)
        ratings.enroll(batch.id, items_of(store, batch), 0.25)
        app = make_app(ratings, lambda b: store, Serving(secret=SECRET, local="owner"), lambda v: None)  # type: ignore[arg-type]
        asking = TestClient(app, follow_redirects=False, **HOME)  # type: ignore[arg-type]
        shown = asking.get(f"/api/items/{order.id}-00000001").json()
        answer = asking.get(shown["image"])
        assert answer.status_code == 307 and answer.headers["location"].startswith(endpoint)
        assert httpx.get(answer.headers["location"]).content[:4] == b"\x89PNG"
        assert asking.get(shown["small"]).status_code == 200
        assert f"img-src 'self' {endpoint};" in asking.get(f"/batches/{batch.id}").headers["content-security-policy"]
        away = TestClient(app, follow_redirects=False, **AWAY)  # type: ignore[arg-type]
        assert away.get(shown["image"]).status_code == 200  # this machine's own S3 is out of its reach
    finally:
        server.stop()


def test_rates(made: tuple[Path, Batch], ratings: Ratings) -> None:
    rates = Rates(login="3/minute", name="2/minute", session="9/minute", images="2/minute")
    one = served(made, ratings, rates=rates)
    token = ratings.add_reviewer(Reviewer(name="ann", role="reviewer"))
    tries = []
    for name in ("ann", "ann", "ann", "bob", "cara"):
        asking = client(one, AWAY)
        csrf = re.search(r'name="csrf" value="(\w+)"', asking.get("/login").text)[1]  # type: ignore[index]
        tries.append(asking.post("/login", data={"name": name, "token": "no", "csrf": csrf}))
    assert [answer.status_code for answer in tries] == [401, 401, 429, 401, 429]
    assert 0 < int(tries[2].headers["retry-after"]) <= 60
    other = client(one, {**AWAY, "client": ("10.9.9.9", 1)})
    csrf = re.search(r'name="csrf" value="(\w+)"', other.get("/login").text)[1]  # type: ignore[index]
    assert other.post("/login", data={"name": "ann", "token": token, "csrf": csrf}).status_code == 429  # by name

    bob = ratings.add_reviewer(Reviewer(name="bob", role="reviewer"))
    time.sleep(1.1)
    third = client(one, {**AWAY, "client": ("10.8.8.8", 1)})
    logged_in(third, "bob", bob)
    assert {third.get("/api/me").status_code for _ in range(8)} == {200}
    assert third.get("/api/me").status_code == 429
    image = one.item(0)
    statuses = [third.get(f"/images/{image}?until=1&sig=x").status_code for _ in range(3)]
    assert statuses == [403, 403, 429]


def test_a_proxy_is_believed_from_its_address_only(made: tuple[Path, Batch], ratings: Ratings) -> None:
    proxy = Proxy(header="X-Forwarded-User", addresses=("10.1.2.0/24", "::1/128"))
    one = served(made, ratings, proxy=proxy)
    ratings.add_reviewer(Reviewer(name="ann", role="expert"))
    named = {"X-Forwarded-User": "ann"}
    assert client(one, AWAY).get("/api/me", headers=named).json()["name"] == "ann"
    assert client(one, AWAY).get("/api/me", headers={"X-Forwarded-User": "eve"}).status_code == 403
    assert client(one, AWAY).get("/api/me").status_code == 401
    twice = [("X-Forwarded-User", "eve"), ("X-Forwarded-User", "ann")]
    assert client(one, AWAY).get("/api/me", headers=twice).status_code == 403  # type: ignore[arg-type]
    stranger = client(one, {**AWAY, "client": ("10.1.3.1", 1)})
    assert stranger.get("/api/me", headers=named).status_code == 403
    without = served(made, ratings)
    assert client(without, AWAY).get("/api/me", headers=named).status_code == 401


def test_said_twice_under_a_key_counts_once_and_another_s_key_is_their_own(
    made: tuple[Path, Batch], ratings: Ratings
) -> None:
    one = served(made, ratings)
    tokens = {name: ratings.add_reviewer(Reviewer(name=name, role="reviewer")) for name in ("ann", "bob")}
    for name, token in tokens.items():
        asking = client(one, AWAY)
        headers = {"X-CSRF-Token": logged_in(asking, name, token)}
        for _ in range(2):
            answer = asking.post("/api/verdicts", json=verdict(one, 1, accepted=name == "ann"), headers=headers)
            assert answer.json()["kept"] == [KEY]
    said = asking.get(f"/api/items/{one.item(1)}/history").json()["said"]
    assert [(s["reviewer"], s["accepted"], s["counts"]) for s in said] == [("bob", False, True), ("ann", True, True)]
    asking.post("/api/undo", json={"acts": [{"key": "undo-001", "item": one.item(1)}]}, headers=headers)
    asking.post("/api/undo", json={"acts": [{"key": "undo-001", "item": one.item(1)}]}, headers=headers)
    said = asking.get(f"/api/items/{one.item(1)}/history").json()["said"]
    assert [(s["reviewer"], s["counts"]) for s in said] == [("bob", False), ("ann", True)]


def test_bodies_are_bounded_and_faults_are_told(made: tuple[Path, Batch], ratings: Ratings) -> None:
    one = served(made, ratings, body_bytes=20_000)
    asking = client(one)
    headers = csrf_of(asking)
    answer = asking.post("/api/verdicts", content=b" " * 20_001, headers=headers)
    assert answer.status_code == 413
    answer = asking.post("/api/verdicts", content=iter([b" " * 15_000, b" " * 15_000]), headers=headers)
    assert answer.status_code == 413
    told = asking.post("/api/verdicts", json=verdict(one, rating=6), headers=headers)
    assert told.status_code == 422 and "rating" in told.json()["error"] and told.json()["remedy"]
    assert asking.get("/api/nothing").json()["error"] == "Not Found"
    page = asking.get("/batches/0000000000000000")
    assert page.status_code == 404 and "No such batch is in review" in page.text
    script = asking.post("/api/verdicts", json=verdict(one, note="<script>"), headers=headers)
    assert script.status_code == 200
    told = asking.get(f"/api/items/{one.item(0)}/history").json()["said"][0]
    assert told["note"] == "<script>"


def test_events_are_signed_and_kept_once(made: tuple[Path, Batch], ratings: Ratings) -> None:
    one = served(made, ratings)
    asking, now = client(one, AWAY), int(time.time())
    row = {"source": "shop", "at": "2026-11-24T00:00:00Z", "impressions": 100, "clicks": 7}
    stranger = {**row, "item": one.item(1).replace(one.batch.id, "0" * 16)}
    body = json.dumps([{**row, "item": one.item(1)}, stranger, {**row, "item": "nonsense"}]).encode()
    good = {"Genloop-Signature": sign(EVENTS, now, body)}
    for bad in (
        {},
        {"Genloop-Signature": sign("another secret, long", now, body)},
        {"Genloop-Signature": sign(EVENTS, now - 400, body)},
        {"Genloop-Signature": sign(EVENTS, now, b"{}")},
    ):
        assert asking.post("/events", content=body, headers=bad).status_code == 403
    assert not list(ratings.counted())
    for new in (1, 0):
        told = asking.post("/events", content=body, headers=good).json()
        assert (told["new"], told["same"], told["refused"]) == (new, 1 - new, 2) and len(told["why"]) == 2
    assert [(item.item, outcome.clicks) for item, outcome in ratings.counted()] == [(one.item(1), 7)]
    no_json = {"Genloop-Signature": sign(EVENTS, now, b"a,b")}
    assert asking.post("/events", content=b"a,b", headers=no_json).status_code == 422


def test_nothing_secret_is_logged(made: tuple[Path, Batch], ratings: Ratings, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    one = served(made, ratings)
    token = ratings.add_reviewer(Reviewer(name="ann", role="expert"))
    asking = client(one, AWAY)
    csrf = logged_in(asking, "ann", token)
    wrong = re.search(r'name="csrf" value="(\w+)"', client(one, AWAY).get("/login").text)
    assert wrong
    asking.post("/login", data={"name": "ann", "token": "my-wrong-token", "csrf": csrf})
    asking.post("/login", data={"name": "ann", "token": "t" * 300, "csrf": csrf})
    shown = asking.get(f"/api/items/{one.item(0)}").json()
    asking.get(shown["image"])
    ours = "\n".join(r.getMessage() for r in caplog.records if not r.name.startswith("httpx"))
    assert "/login" in ours and f"/images/{one.item(0)}" in ours
    signature = shown["image"].rpartition("sig=")[2]
    for secret in (token, "my-wrong-token", "t" * 300, csrf, signature, asking.cookies["genloop"]):
        assert secret not in ours


def test_secret_is_kept_and_private(tmp_path: Path) -> None:
    file = tmp_path / "var/review"
    assert secret_of(file) == secret_of(file) and len(secret_of(file)) == 32
    file.chmod(0o644)
    with pytest.raises(ParamsError, match="others may read"):
        secret_of(file)


def test_what_is_this_machine_s_own() -> None:
    own = ("localhost", "LOCALHOST:80", "127.0.0.1", "127.9.9.9:1", "::1", "[::1]:8000", "[::1]")
    others = (
        "0.0.0.0",
        "10.0.0.1",
        "localhost.evil.example",
        "evil.example:80",
        "",
        "::",
        "[::]:1",
        "127.0.0.1.nip.io",
    )
    assert all(map(is_loopback, own)) and not any(map(is_loopback, others))


@contextmanager
def running(app: FastAPI) -> Iterator[str]:
    """On its real server, in a thread; its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, proxy_headers=False))
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)


def test_every_answer_is_one_that_the_schema_declares(made: tuple[Path, Batch], ratings: Ratings) -> None:
    """Asked all that the schema allows and much that it does not, within its session: no server error, no traceback,
    every status and every body as declared."""
    free = "1000000/minute"
    one = served(made, ratings, rates=Rates(session=free, images=free, login=free, name=free))
    statuses = Counter[int]()
    with running(one.app) as url, httpx.Client(base_url=url) as asking:
        headers = csrf_of(asking)  # type: ignore[arg-type]
        schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
        for found in schema.get_all_operations():
            operation = found.ok()

            @given(case=operation.as_strategy())
            @settings(max_examples=10, deadline=None, database=None, suppress_health_check=list(HealthCheck))
            def ask(case: schemathesis.Case) -> None:
                answer = case.call(headers=headers, cookies=dict(asking.cookies), allow_redirects=False)
                statuses[answer.status_code] += 1
                case.validate_response(answer, checks=CHECKS)

            ask()
    assert statuses[200] and statuses[404] and not statuses[500], statuses


def test_batches_by_segment(made: tuple[Path, Batch], ratings: Ratings) -> None:
    one, other = served(made, ratings), "f" * 16
    asking = client(one)
    assert "every segment" not in asking.get("/").text
    (known,) = [told for told in items_of(one.store, one.batch) if told.place == 0]
    ratings.enroll(
        other, [known.model_copy(update={"item": f"{other}-{0:08d}", "batch": other, "segment": "a & b"})], 0
    )
    time.sleep(1.1)
    assert 'href="/?segment=a%20%26%20b"' in asking.get("/").text
    for segment, shown, hidden in (("a & b", other, one.batch.id), ("", one.batch.id, other)):
        text = asking.get("/", params={"segment": segment}).text
        assert f"/batches/{shown}" in text and f"/batches/{hidden}" not in text
