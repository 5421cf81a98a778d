"""The feedback's database, in SQLite and in a real PostgreSQL."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import create_engine, text

from pipeline.adapters.ratings import Ratings, open_ratings
from pipeline.errors import GenloopError, ParamsError, ServiceError
from pipeline.reviews import Choice, Enrolled, Outcome, Refused, Reviewer, Verdict

BATCH = "0123456789abcdef"
AT = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


def item(place: int, batch: str = BATCH) -> str:
    return f"{batch}-{place:08d}"


def enrolled(count: int, batch: str = BATCH) -> Iterator[Enrolled]:
    for place in range(count):
        yield Enrolled(
            item=item(place, batch),
            batch=batch,
            order="samples",
            place=place,
            label=str(place % 10),
            segment="",
            model="generator",
            version=1,
            chance=place / count,
            doubt=1.0,
        )


def verdict(place: int, by: str = "ann", accepted: bool | None = True, **more: object) -> Verdict:
    return Verdict.model_validate({"item": item(place), "reviewer": by, "at": AT, "accepted": accepted, **more})


@pytest.fixture
def ratings(url: str) -> Iterator[Ratings]:
    with open_ratings(url) as opened:
        opened.enroll(BATCH, enrolled(40), 0.25)
        yield opened


def test_a_verdict_counts_once_and_a_later_one_in_its_place(ratings: Ratings) -> None:
    ratings.record([verdict(1), verdict(2, accepted=False)], ["a", "b"])
    ratings.record([verdict(1), verdict(2, accepted=False)], ["a", "b"])  # an answer that was lost
    assert ratings.tallies()[()].model_dump() == {"judged": 2, "accepted": 1, "quarrels": 0}
    ratings.record([verdict(2)], ["c"])
    assert ratings.tallies()[()].accepted == 2
    assert [told.kind for told in ratings.history(item(2))] == ["verdict", "verdict"]
    assert [v.accepted for _, v in ratings.judged()] == [True, True]


def test_counted_by_day_and_since_a_moment(ratings: Ratings) -> None:
    late = datetime(2026, 5, 4, 23, 30, tzinfo=timezone(timedelta(hours=-2)))  # the next day in UTC
    said = [verdict(1), verdict(2, accepted=False), verdict(3, accepted=None, tags=("blurred",)), verdict(4, at=late)]
    ratings.record(said, list("abcd"))
    told = {day.isoformat(): (tally.judged, tally.accepted) for day, tally in ratings.by_day().items()}
    assert told == {"2026-05-04": (2, 1), "2026-05-05": (1, 1)}
    assert [ratings.verdicts_after(at) for at in (None, AT, late)] == [4, 1, 0]


def test_undone_the_one_before_counts_again_and_then_none(ratings: Ratings) -> None:
    ratings.record([verdict(1, accepted=False)], ["a"])
    ratings.record([verdict(1)], ["b"])
    back = ratings.undo("ann", item(1), "c")
    assert back is not None and back.accepted is False
    assert ratings.undo("ann", item(1), "c") == back  # asked again, it is done once
    assert ratings.tallies()[()].accepted == 0
    assert ratings.undo("ann", item(1), "d") is None
    assert ratings.undo("ann", item(1), "e") is None
    assert () not in ratings.tallies() or ratings.tallies()[()].judged == 0
    assert len(ratings.history(item(1))) == 4


def test_where_two_disagree_a_third_is_asked(ratings: Ratings) -> None:
    ratings.record([verdict(n) for n in range(40)], [f"a{n}" for n in range(40)])
    assert ratings.queue(BATCH, "bob") == []
    ratings.record([verdict(7, "bob", False)], ["b"])
    assert [one.item for one in ratings.queue(BATCH, "cleo")] == [item(7)]
    assert ratings.queue(BATCH, "bob") == []
    assert ratings.tallies()[()].quarrels == 1
    ratings.record([verdict(7, "cleo")], ["c"])
    assert ratings.queue(BATCH, "dan") == [] and ratings.tallies()[()].quarrels == 0


def test_the_unsure_ones_come_first_and_some_at_random(url: str) -> None:
    with open_ratings(url) as ratings:
        ratings.enroll(BATCH, enrolled(1000), 0.25)
        first = ratings.queue(BATCH, "ann", limit=200)
        sure = [abs((one.chance or 0) - 0.5) for one in ratings.queue(BATCH, "ann", limit=200, sampled=False)]
        random = {one.item for one in ratings.queue(BATCH, "ann", limit=1000, sampled=True)}
    assert 200 < len(random) < 300
    assert 30 < sum(one.item in random for one in first) < 70  # a quarter of what is shown
    assert len(sure) == 200


def test_who_reviews_at_once_sees_others_first(ratings: Ratings) -> None:
    seen = {name: {one.item for one in ratings.queue(BATCH, name, limit=5)} for name in map(str, range(12))}
    assert len(set().union(*seen.values())) >= 15
    assert {one.label for one in ratings.queue(BATCH, "ann", label="3")} == {"3"}


def test_an_unknown_item_is_named_and_nothing_of_the_call_is_written(ratings: Ratings) -> None:
    with pytest.raises(GenloopError, match="no such item") as caught:
        ratings.record([verdict(1), verdict(4000)], ["a", "b"])
    assert caught.value.where == item(4000)
    assert list(ratings.judged()) == []


def test_a_concern_hides_the_item_until_it_is_withdrawn(ratings: Ratings) -> None:
    ratings.record([verdict(3, accepted=None, concern="likeness", note="a\x00b")], ["a"])
    assert ratings.is_withdrawn(item(3))
    assert [one.item for one in ratings.open_concerns()] == [item(3)]
    assert item(3) not in {one.item for one in ratings.queue(BATCH, "bob", limit=40)}
    ratings.close_concern(item(3))
    assert ratings.open_concerns() == []


def test_reviewers_by_their_token_alone(ratings: Ratings) -> None:
    token = ratings.add_reviewer(Reviewer(name="ann", role="expert"))
    assert ratings.reviewer_of(token) == Reviewer(name="ann", role="expert")
    assert ratings.reviewer_of(token[:-1]) is None
    again = ratings.add_reviewer(Reviewer(name="ann", role="reviewer"))
    assert ratings.reviewer_of(token) is None and ratings.reviewer_of(again) is not None
    ratings.remove_reviewer("ann")
    assert ratings.reviewer_of(again) is None and ratings.reviewers() == []
    for name in ("eve", "ann"):
        with pytest.raises(GenloopError, match="no such reviewer"):
            ratings.remove_reviewer(name)


def test_importing_twice_changes_nothing(ratings: Ratings) -> None:
    rows = [
        Outcome(item=item(1), source="shop", at=AT, impressions=10, clicks=2),
        Outcome(item=item(99), source="shop", at=AT, impressions=10),
        Refused(file="f.csv", place=3, row="x,\x00", reason="is no number"),
        verdict(2, "dora"),
        Choice(better=item(1), worse=item(2), reviewer="dora", at=AT),
    ]
    assert ratings.import_rows("f.csv", rows) == {"new": 3, "changed": 0, "same": 0, "refused": 2}
    position, aside = ratings.position(), ratings.refused("f.csv")
    assert ratings.import_rows("f.csv", rows) == {"new": 0, "changed": 0, "same": 3, "refused": 2}
    assert (ratings.position(), ratings.refused("f.csv")) == (position, aside)
    rows[0] = Outcome(item=item(1), source="shop", at=AT, impressions=12, clicks=2)
    assert ratings.import_rows("f.csv", rows)["changed"] == 1
    assert [one.impressions for _, one in ratings.counted()] == [12]
    assert {one.reason for one in aside} == {"is no number", "no such item is in review"}


def test_choices_and_decisions_are_kept(ratings: Ratings) -> None:
    ratings.choose(Choice(better=item(1), worse=item(2), reviewer="ann", at=AT), "a")
    ratings.choose(Choice(better=item(1), worse=item(2), reviewer="ann", at=AT), "a")
    assert [one.better for one in ratings.chosen()] == [item(1)]
    number = ratings.log_decision({"judged": 3}, {"action": "wait"})
    ratings.conclude(number, {"share": 0.5})
    (told,) = ratings.decisions()
    assert (told["decision"], told["outcome"]) == ({"action": "wait"}, {"share": 0.5})


def test_what_is_new_is_told_by_the_position(ratings: Ratings) -> None:
    ratings.record([verdict(1)], ["a"])
    position, before = ratings.position(), ratings.identity()
    ratings.record([verdict(2)], ["b"])
    assert [one.item for one, _ in ratings.judged(position)] == [item(2)]
    assert ratings.identity() != before


def test_a_batch_is_taken_in_once(ratings: Ratings) -> None:
    assert ratings.enroll(BATCH, enrolled(40), 0.25) == 0
    (told,) = ratings.batches()
    assert (told.batch, told.items, told.judged) == (BATCH, 40, 0)


def test_ten_clients_at_once_lose_nothing(url: str) -> None:
    with open_ratings(url) as ratings:
        ratings.enroll(BATCH, enrolled(1000), 0.25)

        def client(name: str) -> None:
            for place in range(100):
                ratings.record([verdict(place, name, accepted=place % 2 == 0)], [f"{name} {place}"])

        start = time.perf_counter()
        with ThreadPoolExecutor(10) as threads:
            list(threads.map(client, [f"client-{n}" for n in range(10)]))
        print(f"{1000 / (time.perf_counter() - start):,.0f} verdicts a second")
        assert sum(1 for _ in ratings.judged()) == 1000
        assert ratings.position() == 1000
        assert ratings.tallies()[()].model_dump() == {"judged": 100, "accepted": 50, "quarrels": 0}


WRITER = """
import sys
from pipeline.adapters.ratings import open_ratings
from tests.contract.test_ratings import verdict
with open_ratings(sys.argv[1]) as ratings:
    for place in range(10_000):
        ratings.record([verdict(place % 40, f"r{place}")], [str(place)])
        print(place, flush=True)
"""


def test_killed_while_it_writes_all_that_was_answered_is_there(url: str, ratings: Ratings) -> None:
    process = subprocess.Popen([sys.executable, "-c", WRITER, url], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    answered = [int(process.stdout.readline()) for _ in range(60)]
    os.kill(process.pid, signal.SIGKILL)
    answered += [int(line) for line in process.stdout.read().split()]
    process.wait()
    process.stdout.close()
    there = {int(one.reviewer[1:]) for _, one in ratings.judged()}
    assert set(answered) <= there
    assert len(there) <= len(answered) + 1


def test_two_that_open_a_fresh_one_at_once(url: str) -> None:
    code = "import sys; from pipeline.adapters.ratings import open_ratings; print(open_ratings(sys.argv[1]).identity())"
    both = [subprocess.Popen([sys.executable, "-c", code, url], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    told = {process.communicate()[0] for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert len(told) == 1


def test_a_newer_database_is_refused_in_a_line(url: str, ratings: Ratings) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(ServiceError, match="newer version"):
        open_ratings(url)


def test_what_is_no_database_is_told_without_its_password() -> None:
    with pytest.raises(ServiceError) as caught:
        open_ratings("postgresql+psycopg://ann:secret@127.0.0.1:1/feedback")
    assert "secret" not in str(caught.value) and len(str(caught.value).splitlines()) == 1
    with pytest.raises(ParamsError):
        open_ratings("nonsense")
