"""The feedback's database under what goes wrong: many at once, killed processes, locks, hostile text, older tables."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import create_engine, event, text

from pipeline.adapters.ratings import Ratings, open_ratings, opening
from pipeline.adapters.ratings import ratings as asked
from pipeline.adapters.ratings.tables import metadata
from pipeline.errors import GenloopError, ServiceError
from pipeline.reviews import Enrolled, Outcome, Refused, Reviewer
from tests.contract.test_ratings import AT, BATCH, enrolled, item, verdict

OTHER = "f" * 16
PROCESS = [sys.executable, "-c"]


@pytest.fixture
def ratings(url: str) -> Iterator[Ratings]:
    with open_ratings(url) as opened:
        opened.enroll(BATCH, enrolled(40), 0.25)
        yield opened


UNDER_LOAD = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pipeline.adapters.ratings import open_ratings
from tests.contract.test_ratings import verdict
def client(number):
    for turn in range(10_000):
        name = f"r{number}-{turn}"
        ratings.record([verdict(turn % 40, name)], [name])
        sys.stdout.write(name + "\\n")
        sys.stdout.flush()
with open_ratings(sys.argv[1]) as ratings, ThreadPoolExecutor(10) as threads:
    list(threads.map(client, range(10)))
"""


def test_killed_under_load_all_that_was_answered_is_there(url: str, ratings: Ratings) -> None:
    process = subprocess.Popen([*PROCESS, UNDER_LOAD, url], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    answered = [process.stdout.readline() for _ in range(300)]
    os.kill(process.pid, signal.SIGKILL)
    *rest, _half = process.stdout.read().split("\n")
    process.wait()
    process.stdout.close()
    names = {line.strip() for line in (*answered, *rest)}
    there = [one.reviewer for _, one in ratings.judged()]
    assert names <= set(there) and len(names) >= 300
    assert len(there) == len(set(there)) <= len(names) + 11
    assert ratings.position() == len(there)


SAME_KEYS = """
import sys
from pipeline.adapters.ratings import open_ratings
from tests.contract.test_ratings import verdict
with open_ratings(sys.argv[1]) as ratings:
    print("ready", flush=True)
    sys.stdin.readline()
    for turn in range(100):
        ratings.record([verdict(turn % 40, "ann", accepted=turn % 3 > 0)], [f"key {turn}"])
        if turn % 10 == 9:
            ratings.undo("ann", f"0123456789abcdef-{turn % 40:08d}", f"undo {turn}")
"""


def test_two_processes_that_say_the_same_say_it_once(url: str, ratings: Ratings) -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    both = [subprocess.Popen([*PROCESS, SAME_KEYS, url], **pipes) for _ in range(2)]  # type: ignore[call-overload]
    for process in both:
        assert process.stdout.readline() == "ready\n"
    for process in both:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in both:
        process.communicate()
    assert [process.returncode for process in both] == [0, 0]
    assert ratings.position() == 110
    judged = {one.item: told.liking for one, told in ratings.judged()}
    tally = ratings.tallies()[()]
    assert (tally.judged, tally.accepted) == (len(judged), sum(liking == 1 for liking in judged.values()))


def test_several_that_open_a_fresh_one_at_once(url: str) -> None:
    code = "import sys; from pipeline.adapters.ratings import open_ratings; print(open_ratings(sys.argv[1]).identity())"
    opened = [subprocess.Popen([*PROCESS, code, url], stdout=subprocess.PIPE, text=True) for _ in range(6)]
    told = {process.communicate()[0] for process in opened}
    assert [process.returncode for process in opened] == [0] * 6
    assert len(told) == 1


def test_a_faulty_call_does_its_neighbours_no_harm(ratings: Ratings) -> None:
    def client(number: int) -> bool:
        good = number % 2 == 0
        try:
            ratings.record([verdict(number if good else 4000, f"r{number}")], [f"{number}"])
        except GenloopError:
            return not good
        return good

    with ThreadPoolExecutor(20) as threads:
        assert all(threads.map(client, range(40)))
    assert {one.reviewer for _, one in ratings.judged()} == {f"r{number}" for number in range(0, 40, 2)}


def test_nobody_waits_for_a_batch_that_comes_slowly(ratings: Ratings) -> None:
    reading, said = threading.Event(), threading.Event()

    def slowly() -> Iterator[Enrolled]:
        yield from enrolled(5, OTHER)
        reading.set()
        assert said.wait(60)
        yield from list(enrolled(10, OTHER))[5:]

    with ThreadPoolExecutor(1) as threads:
        taken = threads.submit(ratings.enroll, OTHER, slowly(), 0.25)
        assert reading.wait(60)
        ratings.record([verdict(1)], ["a"])
        assert OTHER not in ratings.known() and [one.batch for one in ratings.batches()] == [BATCH]
        said.set()
        assert taken.result() == 10
    assert {one.batch: one.items for one in ratings.batches()} == {BATCH: 40, OTHER: 10}


def test_a_batch_that_broke_off_is_taken_in_by_the_next(ratings: Ratings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked, "BLOCK", 3)
    finish = asked.enrolling.finish
    monkeypatch.setattr(asked.enrolling, "finish", lambda *_: (_ for _ in ()).throw(KeyError("killed")))
    with pytest.raises(KeyError):
        ratings.enroll(OTHER, enrolled(10, OTHER), 0.25)
    assert ratings.known() == {BATCH} and len(ratings.batches()) == 1
    monkeypatch.setattr(asked.enrolling, "finish", finish)
    assert ratings.enroll(OTHER, enrolled(10, OTHER), 0.25) == 10
    assert len(ratings.queue(OTHER, "ann", limit=20)) == 10


@pytest.mark.parametrize("note", ["a\0b", "\\u0000", '"\\', "\\", "\ufffe", "😀" * 1000, "' OR 1=1 --", "%(x)s :y ?"])
def test_any_note_is_kept(ratings: Ratings, note: str) -> None:
    ratings.record([verdict(3, accepted=None, concern="biased", note=note)], ["a"])
    ((_, told),) = ratings.judged()
    (concern,) = ratings.open_concerns()
    assert told.note == concern.note == note.replace("\0", "\ufffd")
    ratings.record([verdict(3, note=note)], ["b"])
    undone = ratings.undo("ann", item(3), "c")
    assert undone is not None and undone.note == told.note


def test_what_can_be_kept_by_no_database_is_refused(ratings: Ratings) -> None:
    one = next(enrolled(1, OTHER))
    for wrong in ({"label": "a\0"}, {"label": "\ud800"}, {"segment": "s" * 65}, {"version": 2**70}, {"batch": BATCH}):
        with pytest.raises(GenloopError) as caught:
            ratings.enroll(OTHER, [one.model_copy(update=wrong)], 0.25)
        assert not isinstance(caught.value, ServiceError) and len(str(caught.value)) < 400
    assert ratings.known() == {BATCH}
    for key in ("a\0", "\udfff", "k" * 81):
        with pytest.raises(GenloopError):
            ratings.record([verdict(1)], [key])
        with pytest.raises(GenloopError):
            ratings.undo("ann", item(1), key)
    with pytest.raises(GenloopError):
        ratings.record([verdict(1), verdict(2)], ["only one"])
    assert ratings.position() == 0


@pytest.mark.parametrize("odd", ["a\0b", "\ud800", "x" * 100_000, "'; DROP TABLE items; --"])
def test_asked_for_what_there_can_be_none_of_it_finds_nothing(ratings: Ratings, odd: str) -> None:
    def found(ask: object) -> object:
        try:
            return ask()  # type: ignore[operator]
        except ServiceError:
            raise
        except GenloopError:
            return None

    assert not found(lambda: ratings.queue(BATCH, "ann", label=odd))
    assert not found(lambda: ratings.queue(odd, "ann"))
    assert not found(lambda: ratings.item(odd))
    assert not found(lambda: ratings.history(odd))
    assert not found(lambda: ratings.reviewer_of(odd))
    ratings.refuse("f.csv", [Refused(file="f.csv", place=-1, row=odd, reason=odd)])
    (told,) = ratings.refused("f.csv")
    assert told.row[:1] in (odd[:1], "\ufffd") and len(told.row) <= 2000
    assert len(ratings.known()) == 1


@pytest.mark.parametrize("block", [1, 2, 2000])
def test_a_file_that_tells_twice_of_one_item_changes_nothing_twice(
    ratings: Ratings, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(asked, "BLOCK", block)

    def told(item_place: int, count: int) -> Outcome:
        return Outcome(item=item(item_place), source="shop", at=AT, impressions=count)

    rows = [told(1, 10), told(2, 10), told(1, 20), told(3, 5), told(1, 10), told(1, 30)]
    assert ratings.import_rows("day 1", rows)["new"] == 3
    position = ratings.position()
    again = ratings.import_rows("day 1", rows)
    assert (again["new"], again["changed"], again["refused"], ratings.position()) == (0, 0, 0, position)
    assert {one.item: out.impressions for one, out in ratings.counted()} == {item(1): 30, item(2): 10, item(3): 5}
    assert ratings.import_rows("day 2", [told(1, 40)])["changed"] == 1
    assert ratings.import_rows("day 1", rows)["changed"] == 0
    assert {out.impressions for one, out in ratings.counted() if one.item == item(1)} == {40}


def test_those_with_the_fewest_verdicts_come_first(ratings: Ratings) -> None:
    ratings.record([verdict(n, "bob") for n in range(30)], [f"b{n}" for n in range(30)])
    first = {one.item for one in ratings.queue(BATCH, "ann", opinions=2, limit=10)}
    assert first == {item(n) for n in range(30, 40)}
    both = ratings.queue(BATCH, "ann", opinions=2, limit=40)
    assert len({one.item for one in both}) == len(both) == 40
    assert {one.item for one in ratings.queue(BATCH, "bob", opinions=2, limit=40)} == first
    ratings.record([verdict(5, "cleo", False)], ["c"])
    assert ratings.queue(BATCH, "ann", opinions=2, limit=10)[0].item == item(5)
    ratings.withdraw([item(5)])
    assert item(5) not in {one.item for one in ratings.queue(BATCH, "ann", opinions=2, limit=40)}


def test_progress_counts_what_stands(ratings: Ratings) -> None:
    ratings.record([verdict(n, accepted=n < 6) for n in range(10)], [f"a{n}" for n in range(10)])
    ratings.record([verdict(0, "bob", accepted=False)], ["b"])
    ratings.withdraw([item(1), item(39), item(39)])
    (told,) = ratings.batches(opinions=1)
    assert (told.items, told.judged, told.accepted, told.quarrels, told.withdrawn) == (38, 9, 4, 1, 2)
    ratings.withdraw(batch=BATCH)
    (told,) = ratings.batches()
    assert (told.items, told.judged, told.withdrawn) == (0, 0, 40)
    assert ratings.queue(BATCH, "cleo") == []


def test_one_that_is_locked_for_long_is_told(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_ratings(url) as first:
        first.enroll(BATCH, enrolled(4), 0.25)
    monkeypatch.setattr(opening, "WAIT_MS", 500)
    engine = create_engine(url)
    with open_ratings(url) as ratings, engine.connect() as holder:
        if holder.dialect.name == "sqlite":
            holder.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            holder.exec_driver_sql("LOCK TABLE identity")
        start = time.monotonic()
        with pytest.raises(ServiceError, match="another process holds it"):
            ratings.record([verdict(1)], ["a"])
        assert time.monotonic() - start < 15
        assert [one.items for one in ratings.batches()] == [4]
        holder.rollback()
        ratings.record([verdict(1)], ["a"])
        assert ratings.position() == 1
    engine.dispose()


def test_a_database_is_opened_while_another_process_writes(url: str) -> None:
    open_ratings(url).close()
    engine = create_engine(url)
    with engine.connect() as holder:
        if holder.dialect.name == "sqlite":
            holder.exec_driver_sql("BEGIN IMMEDIATE")
        holder.exec_driver_sql("UPDATE identity SET position = position")
        start = time.monotonic()
        with open_ratings(url) as ratings:
            assert ratings.known() == set()
        assert time.monotonic() - start < 20
    engine.dispose()


SECOND = """
from alembic import op
import sqlalchemy as sa
revision, down_revision = "0002", "0001"
def upgrade():
    op.add_column("reviewers", sa.Column("team", sa.String(10)))
"""


def test_an_older_database_gets_what_is_new_and_keeps_what_it_has(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_ratings(url) as ratings:
        ratings.enroll(BATCH, enrolled(4), 0.25)
        token = ratings.add_reviewer(Reviewer(name="ann", role="expert"))
        ratings.record([verdict(1)], ["a"])
        name = ratings.identity()
    newer = tmp_path / "newer"
    shutil.copytree(opening.MIGRATIONS, newer, ignore=shutil.ignore_patterns("__pycache__"))
    (newer / "versions/r0002.py").write_text(SECOND)
    with monkeypatch.context() as patched:
        patched.setattr(opening, "MIGRATIONS", newer)
        with open_ratings(url) as ratings:
            assert ratings.identity() == name
            assert ratings.reviewer_of(token) == Reviewer(name="ann", role="expert")
            assert [told.accepted for _, told in ratings.judged()] == [True]
    engine = create_engine(url)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT team FROM reviewers")).all() == [(None,)]
    engine.dispose()
    with pytest.raises(ServiceError, match="newer version"):
        open_ratings(url)


def test_the_migrations_make_the_tables_that_the_code_knows(url: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    open_ratings(url).close()
    engine = create_engine(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_files_that_are_no_database_are_told(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("not a database at all, " * 100)
    with pytest.raises(ServiceError, match="not a database"):
        open_ratings(f"sqlite:///{tmp_path}/text.db")
    with pytest.raises(ServiceError, match="can't be made"):
        open_ratings(f"sqlite:///{tmp_path}/text.db/below/feedback.db")
    with open_ratings(f"sqlite:///{tmp_path}/new/folder/feedback.db") as ratings:
        assert ratings.position() == 0


def test_what_was_answered_is_on_the_disk(tmp_path: Path) -> None:
    """FULL syncs the log at each commit; NORMAL, its default for this mode, does not."""
    with open_ratings(f"sqlite:///{tmp_path}/feedback.db") as ratings, ratings._engine.connect() as connection:
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1


def test_a_full_disk_is_told_and_what_was_answered_stays(tmp_path: Path) -> None:
    from pipeline.errors import DiskError

    path = tmp_path / "feedback.db"
    with open_ratings(f"sqlite:///{path}") as ratings:
        ratings.enroll(BATCH, enrolled(40), 0.25)
        with sqlite3.connect(path) as other:
            pages = other.execute("PRAGMA page_count").fetchone()[0]
        other.close()

        event.listen(ratings._engine, "checkout", lambda one, *_: one.execute(f"PRAGMA max_page_count = {pages + 4}"))
        kept = 0
        with pytest.raises(DiskError, match="is full"):
            for number in range(10_000):
                ratings.record([verdict(number % 40, f"r{number}", note="n" * 1000)], [str(number)])
                kept += 1
        assert kept == sum(1 for _ in ratings.judged()) == ratings.position()


def test_no_question_of_a_page_goes_through_all_items(tmp_path: Path) -> None:
    """By SQLite's own plans: each goes by an index that holds only what it asks for."""
    asked_of: list[tuple[str, tuple[object, ...]]] = []
    with open_ratings(f"sqlite:///{tmp_path}/feedback.db") as ratings:
        ratings.enroll(BATCH, enrolled(100), 0.25)

        @event.listens_for(ratings._engine, "after_cursor_execute")
        def heard(_one: object, _cursor: object, statement: str, values: tuple[object, ...], *_: object) -> None:
            asked_of.append((statement, values))

        ratings.queue(BATCH, "ann", opinions=2, label="3")
        ratings.queue(BATCH, "ann", opinions=2)
        ratings.batches()
        ratings.tallies("label", "version")
        event.remove(ratings._engine, "after_cursor_execute", heard)
        plans = []
        with ratings._engine.connect() as connection:
            for statement, values in asked_of:
                if "FROM items" in statement:
                    rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
                    plans.append(" | ".join(row[3] for row in rows))
    assert len(plans) >= 7
    for plan in plans:
        first = plan.split(" | ")[0]
        assert first in ("SCAN items USING INDEX items_said", "SCAN items USING INDEX items_withdrawn") or (
            first.startswith("SEARCH items USING INDEX items_in_qu") and "FOR ORDER BY" not in plan
        ), plan
