"""What retention decides: nothing goes that something which stays needs."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from pipeline.adapters.objects import Objects, Told
from pipeline.adapters.references import Reference, references
from pipeline.adapters.store import Listed
from pipeline.adapters.tracked import CLEANED, TrackedRun, TrackedVersion
from pipeline.dataset.history import Stored, Version
from pipeline.dataset.holds import HOLDS, Hold, add_hold, holds, release, standing
from pipeline.errors import GenloopError, ParamsError
from pipeline.generate.batches import CLEANED as CLEANED_MARK
from pipeline.generate.batches import COMMIT, RECORD, STARTED, WITHDRAWN
from pipeline.params_file import override_params
from pipeline.retention import dataset, delivered, local, registered
from pipeline.retention.dataset import Place
from pipeline.retention.delivered import Delivery
from pipeline.retention.inventory import _held
from pipeline.retention.plan import KINDS, Inventory, Key, Plan, Root, Thing, inventory_of, plan, tallies
from pipeline.retention.registered import Registered, model_key, run_key
from pipeline.retention_params import Keep, Retention
from pipeline.values import Batch
from tests.unit.told_versions import told_version

NOW = datetime(2026, 11, 25, tzinfo=UTC)
PARAMS = Path(__file__).parents[2] / "params.yaml"
NOWHERE = Path("/nonexistent")
STRICT = Retention(**dict.fromkeys(KINDS, Keep(days=40)))  # all that may go does


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def reached(things: dict[Key, Thing] | Inventory, keys: Iterable[Key]) -> set[Key]:
    """All that these need, by another way than the plan's."""
    known = things.things if isinstance(things, Inventory) else things
    found = {key for key in keys if key in known}
    while more := {need for key in found for need in known[key].needs if need in known} - found:
        found |= more
    return found


def gone(decided: Plan) -> set[Key]:
    return {thing.key for thing in decided.goes}


KEYS = [Key(kind, str(number)) for kind in KINDS for number in range(3)]
SETS = some.frozensets(some.sampled_from(KEYS), max_size=4)
THINGS = some.lists(
    some.builds(
        Thing,
        key=some.sampled_from(KEYS),
        at=some.integers(0, 100).map(ago),
        bytes=some.integers(0, 10),
        needs=SETS,
        of=SETS,
        group=some.sampled_from(["", "a"]),
        begun=some.booleans(),
    ),
    unique_by=lambda thing: thing.key,
)
KEEPS = some.builds(Keep, days=some.sampled_from([0, 1, 31, 60]), newest=some.integers(0, 3))
POLICIES = some.builds(
    Retention, **{k: KEEPS if k != "models" else KEEPS.filter(lambda keep: keep.days != 1) for k in KINDS}
)


@settings(max_examples=200, deadline=None)
@given(THINGS, some.lists(some.builds(Root, why=some.just("named"), keys=SETS), max_size=3), POLICIES)
def test_what_is_named_and_all_it_needs_stays(things: list[Thing], roots: list[Root], policy: Retention) -> None:
    inventory = inventory_of(things, roots)
    decided = plan(inventory, policy, NOW)
    assert gone(decided) | decided.stays.keys() == inventory.things.keys() and not gone(decided) & decided.stays.keys()
    assert not gone(decided) & reached(inventory, {key for root in roots for key in root.keys})
    assert not gone(decided) & reached(inventory, decided.stays)
    for thing in decided.goes:
        keep = getattr(policy, thing.key.kind)
        made_for_what_goes = thing.of and not thing.of & decided.stays.keys()
        assert thing.begun or made_for_what_goes or (keep.days and NOW - thing.at >= timedelta(days=keep.days))
    order = [KINDS.index(thing.key.kind) for thing in decided.goes]
    assert order == sorted(order)
    told = tallies(inventory, decided)
    assert sum(t.goes + t.stays for t in told.values()) == len(things)
    assert sum(t.bytes for t in told.values()) == sum(thing.bytes for thing in decided.goes)
    assert all(sum(t.why.values()) == t.stays for t in told.values())
    again = inventory_of([t for t in things if t.key in decided.stays], roots)
    assert not plan(again, policy, NOW).goes  # what is done is done at once


def version(number: int, days: int, dropped: str = "") -> Version:
    stored = Stored(md5=f"{number}.dir", size=1, nfiles=1)
    return told_version(number, ago(days).isoformat(), stored, dropped)


def place(name: str, folders: dict[str, set[str]], shards: dict[str, str] | None = None, days: int = 100) -> Place:
    names = {*folders, *(oid for files in folders.values() for oid in files)}
    told = {oid: Told(10, ago(days)) for oid in names}
    files = {folder: frozenset(oids) for folder, oids in folders.items()}
    return Place(Objects(name, "", None), "cache" if name == "cache" else "remotes", told, files, shards or {})


def model(number: int, snapshot: str, days: int, *aliases: str, **tags: str) -> TrackedVersion:
    told = {"bundle": f"b{number}", "snapshot": snapshot, **tags}
    return TrackedVersion("generator", number, ago(days), f"r{number}", told, aliases)


def delivery(number: int, days: int, model: int, *marks: str) -> Delivery:
    batch = Batch(id=f"{number:016x}", uri="", items=1, model="generator", version=model, order="shop")
    objects = [Listed(name, 5, ago(days)) for name in (*marks, "data/part")]
    return Delivery.of("", f"batches/{batch.id}", batch, objects)


@settings(max_examples=60, deadline=None)
@given(some.data())
def test_what_champion_tag_hold_and_committed_batches_need_stays(data: some.DataObject) -> None:
    """A house at random, and a policy by which all that may go does."""
    root = NOWHERE
    days, pick = some.integers(41, 200), some.integers(1, 6)
    numbers = list(range(1, 7))
    versions = [version(n, data.draw(days), "2026" if data.draw(some.booleans()) and n < 6 else "") for n in numbers]
    folders = {f"{n}.dir": set(data.draw(some.sets(some.sampled_from("pqrstuv")))) for n in numbers}
    unknown = {"x.dir": {"p", "y"}}
    looks = [place("cache", folders | {"h.dir": {"z"}}, {"h.dir": "s3"}), place("far", folders | unknown)]
    champion, before, held, tagged = (data.draw(pick) for _ in range(4))
    models = [
        model(n, f"s{data.draw(pick)}", data.draw(days), *(["champion"] if n == champion else []))
        if n != champion or not data.draw(some.booleans())
        else model(n, f"s{data.draw(pick)}", 100, "champion", canary="open", before=str(before))
        for n in numbers
    ]
    runs = [TrackedRun(f"r{n}", ago(100), 7) for n in (*numbers, 9)]
    known = Registered("generator", tuple(models), tuple(runs))
    made = [delivery(n, data.draw(days), data.draw(pick), COMMIT, RECORD) for n in range(2)]
    made += [delivery(3, 100, 1, RECORD, WITHDRAWN), delivery(4, 100, 1, STARTED)]
    git = [Reference("v1 of git", frozenset({"h.dir"}))]
    suits = [Hold(kind="model", name=f"generator/{held}", why="a suit", by="me", at="")]

    def needs(one: Delivery) -> frozenset[Key]:
        assert one.batch
        return frozenset({model_key(one.batch.model, one.batch.version)})

    inventory = inventory_of(
        [
            *delivered.things(made, needs),
            *registered.things(root, known, dataset.known_by_id(versions)),
            *dataset.things(versions, looks),
        ],
        [
            *_held(suits, versions, made),
            *registered.roots(root, known),
            *dataset.roots(versions, looks, git, "", {"release": tagged}),
        ],
    )
    policy = STRICT.model_copy(update={"batches": Keep(), "remotes": Keep()})
    decided = plan(inventory, policy, NOW)
    wanted = {model_key("generator", champion), model_key("generator", held), Key("snapshots", str(tagged))}
    wanted |= {one.key for one in made[:2]} | {Key("snapshots", "6")}
    if models[champion - 1].tags.get("canary"):
        wanted.add(model_key("generator", before))
    for one in made[:2]:
        assert one.batch
        wanted.add(model_key("generator", one.batch.version))
    for n in {key.name.partition("/")[2] for key in wanted if key.kind == "models"}:
        wanted |= {run_key(f"r{n}"), Key("snapshots", models[int(n) - 1].tags["snapshot"][1:])}
    whole = {str(v.number) for v in versions if not v.dropped}
    for n in {key.name for key in wanted if key.kind == "snapshots"} & whole:
        for look in looks:
            wanted |= {look.key(oid) for oid in (f"{n}.dir", *folders[f"{n}.dir"])}
    wanted |= {looks[0].key("h.dir"), looks[0].key("z"), *(looks[1].key(oid) for oid in ("x.dir", "p", "y"))}
    assert not gone(decided) & wanted
    assert {made[3].key, made[2].key, run_key("r9")} <= gone(decided)
    for n in {str(v.number) for v in versions} - {k.name for k in decided.stays if k.kind == "snapshots"}:
        assert looks[1].key(f"{n}.dir") in gone(decided) and looks[0].key(f"{n}.dir") in gone(decided)


def test_of_a_version_that_goes_its_objects_go_from_remotes_at_once_but_no_shared_ones() -> None:
    known = [version(1, 100), version(2, 50)]
    looks = [
        place("far", {"1.dir": {"a", "b"}, "2.dir": {"b"}, "sh.dir": {"pixels"}, "other.dir": {"c"}}, {"sh.dir": "s1"})
    ]
    inventory = inventory_of(dataset.things(known, looks), [Root("newest", frozenset({Key("snapshots", "2")}))])
    decided = plan(inventory, STRICT.model_copy(update={"remotes": Keep()}), NOW)
    assert gone(decided) == {Key("snapshots", "1"), *(looks[0].key(oid) for oid in ("1.dir", "a", "sh.dir", "pixels"))}


def test_a_run_goes_with_its_version_and_what_was_begun_is_ended() -> None:
    known = Registered(
        "generator",
        (model(1, "s", 100), model(2, "s", 10)),
        (TrackedRun("r1", ago(5), 1), TrackedRun("r0", ago(5), 1, {CLEANED: "2026"}), TrackedRun("r9", ago(5), 1)),
    )
    inventory = inventory_of(registered.things(NOWHERE, known, {}), ())
    assert gone(plan(inventory, STRICT, NOW)) == {model_key("generator", 1), run_key("r1"), run_key("r0")}


def test_what_others_registered_stays_with_its_run() -> None:
    theirs = [TrackedVersion(name, 1, ago(300), f"r{name}", tags) for name, tags in (("shop", {}), ("generator", {}))]
    theirs.append(TrackedVersion("other", 1, ago(300), "rother", {"bundle": "b", "snapshot": "s1"}))
    known = Registered("generator", tuple(theirs), tuple(TrackedRun(one.run, ago(300), 1) for one in theirs))
    by_id = dataset.known_by_id([version(1, 300)])
    things = [*registered.things(NOWHERE, known, by_id), *dataset.things([version(1, 300)], [])]
    assert not gone(plan(inventory_of(things, registered.roots(NOWHERE, known)), STRICT, NOW))


def test_a_large_house_is_planned_in_no_time() -> None:
    folders = {f"{n}.dir": {f"{n}-{part}" for part in range(1000)} | {"shared"} for n in range(1, 31)}
    known = [version(n, 300 - n) for n in range(1, 31)]
    looks = [place("cache", folders)]
    roots = dataset.roots(known, looks, [], "", {"a": 3})
    inventory, began = inventory_of(dataset.things(known, looks), roots), time.process_time()
    decided = plan(inventory, STRICT, NOW)
    assert len(decided.goes) == 28 * 1002 and looks[0].key("shared") in decided.stays
    assert time.process_time() - began < 5  # 0.3 s on a quiet machine


@pytest.mark.parametrize(
    ("marks", "kind"),
    [
        ((COMMIT, RECORD, STARTED), "batches"),
        ((COMMIT, RECORD, CLEANED_MARK), "batches"),
        ((RECORD, WITHDRAWN), "withdrawn"),
        ((RECORD, CLEANED_MARK), "withdrawn"),
        ((STARTED,), "unfinished"),
        (("receipts/00000.json",), "unfinished"),
        ((), None),
    ],
)
def test_what_a_batch_is_is_told_by_its_marks(marks: tuple[str, ...], kind: str | None) -> None:
    one = delivery(1, 1, 1, *marks)
    assert one.kind == kind
    assert [thing.begun for thing in delivered.things([one], lambda _: frozenset())] == (
        [CLEANED_MARK in marks] if kind else []
    )
    trace = [Listed(name, 5, NOW) for name in (RECORD, WITHDRAWN, CLEANED_MARK, "notices/1.json")]
    assert Delivery.of("", one.home, one.batch, trace).kind is None


def test_a_batch_that_is_made_now_or_lacks_only_its_commit_is_left_alone() -> None:
    found = [delivery(1, 100, 1, STARTED), delivery(2, 100, 1, STARTED, RECORD)]
    for busy, goes in ((False, {found[0].key}), (True, set[Key]())):
        inventory = inventory_of(delivered.things(found, lambda _: frozenset()), delivered.roots(found, busy))
        assert gone(plan(inventory, STRICT, NOW)) == goes


def test_only_torn_writes_of_ours_are_taken_for_such(tmp_path: Path) -> None:
    torn = [
        ".dvc.lock-abcd1234",
        "data/.snapshot-abcd_123/parts/1.parquet",
        "runs/train/k/.best.json-zzzzzzzz",
        "data/.pictures.old/a.png",
    ]
    others = [
        ".env-abcd1234",
        "data/.shards.old/train.npy",  # all there is of the shards
        "data/pictures/a.png",
        "runs/.keep",
        "var/s3/genloop/.part-abcd1234",
        "runs/train/k/0-000000000064.safetensors",
        "src/.mine-abcd1234",
    ]
    for name in (*torn, *others):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12345")
        os.utime(path, (0, 0))  # as one that is being copied may have it
    torn_ones = [thing for thing in local.things(tmp_path, {}) if thing.key.kind == "temporary"]
    assert all(datetime.now(UTC) - thing.at < timedelta(hours=1) for thing in torn_ones)
    found = {thing.key.name: thing.bytes for thing in torn_ones}
    assert found == {
        ".dvc.lock-abcd1234": 5,
        "data/.snapshot-abcd_123": 5,
        "runs/train/k/.best.json-zzzzzzzz": 5,
        "data/.pictures.old": 5,
    }
    for name in found:
        local.remove(tmp_path, Key("temporary", name))
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == set(others)


def test_holds_end_by_their_day_or_by_a_word_and_the_file_keeps_them(tmp_path: Path) -> None:
    one = Hold(kind="batch", name="0" * 16, why="a suit", by="ann", at="2026-11-25T00:00:00+00:00", until="2026-12-01")
    add_hold(tmp_path, one)
    add_hold(tmp_path, one.model_copy(update={"until": ""}))
    assert len(standing(tmp_path, date(2026, 12, 1))) == 2 and len(standing(tmp_path, date(2026, 12, 2))) == 1
    assert release(tmp_path, "batch", "1" * 16, "now", "bob") == 0
    assert release(tmp_path, "batch", "0" * 16, "2026-11-26", "bob") == 2
    assert not standing(tmp_path, date(2026, 11, 25))
    assert [one.released_by for one in holds(tmp_path)] == ["bob", "bob"]
    (tmp_path / HOLDS).write_text("[{}]")
    with pytest.raises(GenloopError, match="damaged"):
        standing(tmp_path, date(2026, 11, 25))


def test_params_say_what_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(PARAMS.read_text())
    assert override_params(path, []).retention == Retention()
    assert override_params(path, ["retention.models.days=31"]).retention.models.days == 31
    for pair, words in [
        ("retention.models.days=30", "days should be 0, or at least 31"),
        ("retention.batches.days=-1", "retention.batches.days = -1: Input should be greater than or equal to 0"),
        ("retention.batch.days=1", "unknown key 'retention.batch.days'"),
        ("retention.runs={day: 3}", "unknown key 'retention.runs.day'"),
    ]:
        with pytest.raises(ParamsError) as caught:
            override_params(path, [pair])
        assert words in str(caught.value) and "\n" not in str(caught.value), str(caught.value)


def git(folder: Path, *words: str) -> None:
    name = ["-c", "user.name=me", "-c", "user.email=me@localhost", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *name, *words], cwd=folder, check=True, capture_output=True)


def lock(oid: str) -> str:
    return f"stages:\n  collect:\n    outs:\n    - path: data/snapshot\n      md5: {oid}\n      size: 1\n"


def test_what_branches_and_tags_of_git_name_is_known(tmp_path: Path) -> None:
    """Also where the workspace is a folder within the repository."""
    root = tmp_path / "repository/within"
    (root / "versions").mkdir(parents=True)
    (root / "dvc.lock").write_text(lock("1.dir"))
    assert [(one.name, one.lock) for one in references(root)] == [("dvc.lock", {"1.dir"})]
    git(root.parent, "init", "-b", "main")
    (root / "versions/000001.json").write_text(version(1, 9).model_dump_json())
    git(root, "add", ".")
    git(root, "commit", "-m", "one")
    git(root, "tag", "-a", "release", "-m", "to be kept")
    git(root, "checkout", "-b", "other")
    (root / "dvc.lock").write_text(lock("2.dir"))
    (root / "versions/000007.json").write_text(version(7, 9).model_dump_json())
    git(root, "add", ".")
    git(root, "commit", "-m", "two")
    git(root, "checkout", "main")
    (root / "dvc.lock").write_text(lock("3.dir"))
    found = {one.name: one for one in references(root)}
    assert {name: set(one.lock) for name, one in found.items()} == {
        "dvc.lock": {"3.dir"},
        "main": {"1.dir"},
        "other": {"2.dir"},
        "release": {"1.dir"},
    }
    looks = [place("cache", {"1.dir": {"a"}, "2.dir": {"b"}, "7.dir": {"c"}, "8.dir": {"d"}})]
    known = [version(1, 100), version(2, 90)]
    roots = dataset.roots(known, looks, list(found.values()), "", {})
    decided = plan(inventory_of(dataset.things(known, looks), roots), STRICT, NOW)
    assert {looks[0].key("8.dir"), looks[0].key("d")} == gone(decided)
    (root / "dvc.lock").write_text("stages: [")
    with pytest.raises(GenloopError, match=r"dvc.lock: can't be read"):
        references(root)
