"""`genloop clean` and `genloop hold`: what retention takes away here, and what it has to leave."""

from __future__ import annotations

import fcntl
import getpass
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from flows import wiring
from flows.batches import lock_of
from flows.forget import reached, told_by_bar
from pipeline.dataset.holds import Hold, add_hold, release, standing
from pipeline.errors import GenloopError, ParamsError
from pipeline.files import write_json
from pipeline.log import log
from pipeline.retention.plan import Kind, Plan, Tally, plan, tallies
from pipeline.settings import Params
from pipeline.values import Value

if TYPE_CHECKING:
    from pipeline.dataset.holds import Held
    from pipeline.retention.inventory import Looked

RECEIPT = Path("runs/cleaned.json")
CHANGED = "has changed while it was looked at"


class Cleaned(Value):
    """kinds: what went, or would, and what stays; names: of what went, by kind."""

    at: str
    dry_run: bool
    kinds: dict[Kind, Tally]
    names: dict[Kind, tuple[str, ...]]

    @property
    def bytes(self) -> int:
        return sum(tally.bytes for tally in self.kinds.values())

    @property
    def things(self) -> int:
        return sum(tally.goes for tally in self.kinds.values())


def planned(workspace: Path, params: Params, now: datetime | None = None) -> Cleaned:
    """What would go; nothing is changed. Raises ServiceError where something can't be looked into."""
    now = now or datetime.now(UTC)
    with reached(workspace) as (registry, stores), told_by_bar("look") as tell, _no_batch(workspace, params) as busy:
        from pipeline.retention.inventory import look

        looked = look(workspace, params, now, registry, stores, busy, tell)
    return _told(looked, plan(looked.inventory, params.retention, now), now, dry_run=True)


def clean(
    workspace: Path,
    params: Params,
    now: datetime | None = None,
    agree: Callable[[Cleaned], object] = lambda would_go: None,
) -> Cleaned:
    """Take away what retention says; killed at any moment, the next one ends it. To be called as the only run here.

    agree: is told before anything is changed, and may raise. Raises ServiceError, before anything is changed, where
    something can't be looked into.
    """
    now = now or datetime.now(UTC)
    with ExitStack() as stack:
        registry, stores = stack.enter_context(reached(workspace))
        stack.enter_context(_alone(workspace))
        busy = stack.enter_context(_no_batch(workspace, params))
        from pipeline.retention.execute import Executor
        from pipeline.retention.inventory import look

        with told_by_bar("look") as tell:
            looked = look(workspace, params, now, registry, stores, busy, tell)
        decided = plan(looked.inventory, params.retention, now)
        agree(_told(looked, decided, now, dry_run=True))
        with told_by_bar("clean") as tell:
            gone = Executor(workspace, looked, now, registry, stores, tell).execute(decided)
    went = {thing.key for thing in gone}
    left = {thing.key: CHANGED for thing in decided.goes if thing.key not in went}
    done = _told(looked, Plan(tuple(gone), {**decided.stays, **left}), now, dry_run=False)
    write_json(workspace / RECEIPT, done.model_dump(mode="json"))
    log("cleaned", things=done.things, bytes=done.bytes, kinds={kind: tally.goes for kind, tally in done.kinds.items()})
    return done


def hold(workspace: Path, params: Params, what: str, why: str, until: str) -> Hold:
    """Keep it whatever the retention says. Waits for a cleaning that is at work. Raises GenloopError where there is
    no such thing, ParamsError where `until` is no day to come."""
    now = datetime.now(UTC)
    if until and _day(until) < now.date():
        raise ParamsError("--until has gone by", where=until, remedy="give a day to come, or none")
    with _alone(workspace):
        kind, name = _meant(workspace, params, what)
        at = now.isoformat(timespec="seconds")
        new = Hold(kind=kind, name=name, why=why, by=getpass.getuser(), at=at, until=until)
        add_hold(workspace, new)
    return new


def let_go(workspace: Path, params: Params, what: str) -> tuple[Held, str]:
    """End the holds of it. Raises GenloopError where there is none."""
    now = datetime.now(UTC)
    known = standing(workspace, now.date())
    named = {(one.kind, one.name) for one in known if what in (one.name, _title(one.kind, one.name))}
    kind, name = named.pop() if len(named) == 1 else _meant(workspace, params, what)
    with _alone(workspace):
        if not release(workspace, kind, name, now.isoformat(timespec="seconds"), getpass.getuser()):
            held = ", ".join(_title(one.kind, one.name) for one in known) or "nothing is"
            raise GenloopError("is not held", where=what, remedy=f"held: {held}")
    return kind, name


def _title(kind: Held, name: str) -> str:
    return {"snapshot": f"version {name}", "model": name, "batch": f"batch {name}"}[kind]


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ParamsError("is no day", where=f"--until {text[:40]}", remedy="give it as YYYY-MM-DD") from None


def _meant(workspace: Path, params: Params, what: str) -> tuple[Held, str]:
    """The kind and the name of what is there: of a model, a version of the dataset, or a batch."""
    from pipeline.dataset.history import check_kept, version_of
    from pipeline.dataset.lineage import BATCH, MODEL

    if found := MODEL.fullmatch(what):
        name, alias, *numbers = found.groups()
        registry = wiring.registry(workspace)
        given = next(filter(None, numbers), "")
        model = registry.by_alias(name, alias) if alias else registry.version(name, int(given))
        if model is None:
            raise GenloopError(
                "the registry has no such model", where=what, remedy="`genloop status` names the champion"
            )
        return "model", f"{model.name}/{model.version}"
    try:
        version = version_of(workspace, what)
    except GenloopError:
        if not BATCH.fullmatch(what):
            remedy = "give a version's number or tag, NAME@champion or NAME/3, or a batch's id"
            raise GenloopError("is no dataset version, model or batch", where=what, remedy=remedy) from None
    else:
        check_kept(version)
        return "snapshot", str(version.number)
    with reached(workspace) as (_, stores):
        from pipeline.generate.batches import find_batch, is_cleaned

        batch = find_batch(stores, what)
        if is_cleaned(stores(batch.bucket), batch):
            raise GenloopError("was cleaned up: only its record is left", where=batch.id)
        return "batch", batch.id


def _told(looked: Looked, decided: Plan, now: datetime, dry_run: bool) -> Cleaned:
    kinds, at = tallies(looked.inventory, decided), now.isoformat(timespec="seconds")
    by_kind = groupby(decided.goes, lambda thing: thing.key.kind)
    names = {kind: tuple(thing.key.name.lstrip("/") for thing in some) for kind, some in by_kind}
    return Cleaned(at=at, dry_run=dry_run, kinds=kinds, names=names)


@contextmanager
def _alone(workspace: Path) -> Iterator[None]:
    """Nothing is taken away while a hold is set, and the other way round."""
    (workspace / "var").mkdir(exist_ok=True)
    with (workspace / "var/clean.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _no_batch(workspace: Path, params: Params) -> Iterator[bool]:
    """While inside no batch is begun here; whether one is being made."""
    (workspace / "var").mkdir(exist_ok=True)
    paths = {lock_of(workspace, name) for name in params.batches} | set(
        (workspace / "var").glob(lock_of(workspace, "*").name)
    )
    with ExitStack() as stack:
        busy = False
        for path in sorted(paths):
            file = stack.enter_context(path.open("w"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                busy = True
        yield busy
