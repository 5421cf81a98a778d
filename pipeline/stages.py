"""One command for each DVC stage: `python -m pipeline STAGE`, run in a workspace."""

from __future__ import annotations

import errno
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.cores import core_seconds
from pipeline.environment import Environment
from pipeline.errors import DiskError, GenloopError
from pipeline.files import replacing, replacing_folder, write_json
from pipeline.log import log, say, set_up
from pipeline.params_file import load_params
from pipeline.progress import bar, busy
from pipeline.settings import Params
from pipeline.trace import flush, span
from pipeline.values import Snapshot

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.adapters.training_log import TrainingLog
    from pipeline.lessons import Lessons
    from pipeline.shards import ShardsReader
    from pipeline.training.history import Tick, Watcher
    from pipeline.training.snapshots import Judge

Show = Callable[[int, int | None, str], None]

SNAPSHOT, ACCEPTED, QUARANTINE = Path("data/snapshot"), Path("data/accepted.parquet"), Path("data/quarantine")
DOCS, VALIDATION = Path("data/docs"), Path("data/validation.json")
SHARDS, BUNDLE, CURVES = Path("data/shards"), Path("data/bundle"), Path("data/curves.csv")
PROGRESS, LESSONS, NETWORKS = Path("data/progress.png"), Path("data/lessons"), Path("data/networks")
SCORECARD, PICTURES = Path("data/scorecard.json"), Path("data/pictures")
CHECKPOINTS, EVALUATORS, RECEIPTS = Path("runs/train"), Path("runs/evaluators"), Path("runs/stages")
PIXELS, LEDGERS, GENERATED = Path("runs/pixels"), Path("runs/ledgers"), Path("runs/generated")


def collect(params: Params, only: Sequence[str] = ()) -> None:
    from pipeline.collect.snapshot import collect as step

    with bar("collect", "items") as show:
        step(params.collect, Path.cwd(), SNAPSHOT, PIXELS, LEDGERS, lambda n: show(n, None, ""), only, GENERATED)


def validate(params: Params) -> None:
    from pipeline.validate.step import validate as step

    with busy("validate"):
        step(params.validation, SNAPSHOT, ACCEPTED, QUARANTINE, DOCS, VALIDATION)


def preprocess(params: Params) -> None:
    from pipeline.preprocess import preprocess as step

    total = read_snapshot(Path.cwd()).items
    with bar("preprocess", "items") as show:
        identity = read_snapshot(Path.cwd()).id
        step(params.preprocess, SNAPSHOT, ACCEPTED, PIXELS, SHARDS, identity, lambda done: show(done, total, ""))


def lessons(params: Params) -> None:
    """None, where there are not any: the flow writes those that the feedback gives."""
    from pipeline.lessons import Lessons, read_lessons, write_lessons

    if not LESSONS.exists():
        write_lessons(LESSONS, Lessons())
    read_lessons(LESSONS)


def train(params: Params) -> float:
    """Seconds that opening the log took, which are not the training's."""
    from pipeline.adapters.training_log import TrainingLog
    from pipeline.evaluate.choice import held_out_rows, judged_by
    from pipeline.evaluate.pictures import sheet_of
    from pipeline.lessons import read_lessons
    from pipeline.shards import open_shards, whole_shards
    from pipeline.training.ranks import launched
    from pipeline.training.step import follow, run_key
    from pipeline.training.step import train as step

    place = launched()
    if Environment().engine == "ray" and not place:
        _train_on_ray(params)
        return 0.0
    opened = open_shards if place and not place.first else whole_shards
    shards, told, start = opened(SHARDS), read_lessons(LESSONS), time.perf_counter()
    rows = held_out_rows(shards.meta.holdout_items, params.evaluate)
    if place and not place.first:
        follow(params.train, shards, rows, told)
        return 0.0
    by = judged_by(params.evaluate)
    key = run_key(params.train, shards.meta, by, told)
    with TrainingLog(Path.cwd(), key) as log, bar("train", "images") as show:
        opening_s = time.perf_counter() - start
        trained = step(
            params.train,
            shards,
            CHECKPOINTS,
            BUNDLE,
            CURVES,
            _watcher(log, show),
            judge=None if rows is None else _judge(params, shards, rows, told, show),
            held_out=rows,
            processes=Environment().processes,
            judged_by=by,
            lessons=told,
            networks=NETWORKS,
        )
        log.bundle = trained.bundle
    with replacing(PROGRESS) as path:
        sheet_of(trained.progress).save(path, "PNG")
    return opening_s


def _train_on_ray(params: Params) -> None:
    """The stage in processes of a cluster, of which the first leaves its curves where they are shown from."""
    from pipeline.training.history import followed
    from pipeline.training.on_ray import gpus, take_part_on_ray
    from pipeline.training.step import processes_for

    processes = processes_for(params.train, Environment().processes or gpus() or 1)
    with bar("train", "images") as show, followed(CHECKPOINTS, lambda tick: _show_tick(show, tick)):
        take_part_on_ray(partial(train, params), Path.cwd(), processes)


def _judge(params: Params, shards: ShardsReader, rows: NDArray[np.int64], told: Lessons, show: Show) -> Judge:
    """How far a snapshot is from these rows of the holdout, which weigh as the training's images of their kind do."""
    from pipeline.evaluate.choice import judge_of
    from pipeline.training.listening import hear
    from pipeline.training.step import shape_of

    weights = hear(params.train, told, shards.meta, shape_of(params.train, shards.meta)).holdout_weights
    tell = partial(_tell_stage, show)
    nfd = judge_of(params.evaluate, shards, rows, EVALUATORS, tell, weights)
    return lambda bundle: nfd(bundle.sample)


def _tell_stage(show: Show, stage: str, done: int, total: int) -> None:
    show(done, total, stage)


def _watcher(log: TrainingLog, show: Show) -> Watcher:
    """Tells the bar and the log how the training goes."""
    from pipeline.media.image import grid

    def watch(tick: Tick, preview: Callable[[], NDArray[np.uint8]]) -> None:
        _show_tick(show, tick)
        log.metrics(tick.measures, tick.images_seen)
        if log.wants_picture() or tick.images_seen >= tick.budget:
            log.picture(grid(preview(), 10, 2), tick.images_seen)

    return watch


def _show_tick(show: Show, tick: Tick) -> None:
    note = f"{tick.rate_per_s:,.0f}/s  G {tick.loss_g:.3f}  D {tick.loss_d:.3f}"
    show(tick.images_seen, tick.budget, note)


def evaluate(params: Params) -> None:
    from pipeline.evaluate.album import sheets
    from pipeline.evaluate.step import score
    from pipeline.model.bundle import load_bundle
    from pipeline.shards import whole_shards

    shards, bundle = whole_shards(SHARDS), load_bundle(BUNDLE)
    with bar("evaluate", "") as show:
        judged = score(
            params.evaluate,
            shards,
            bundle.sample,
            bundle.id,
            EVALUATORS,
            partial(_tell_stage, show),
        )
    with replacing_folder(PICTURES) as folder:
        for name, sheet in sheets(judged, shards, bundle).items():
            sheet.save(folder / f"{name}.png")
    write_json(SCORECARD, judged.scorecard.model_dump())


STAGES: dict[str, Callable[[Params], float | None]] = {
    step.__name__: step for step in (collect, validate, preprocess, lessons, train, evaluate)
}
FROZEN = ("collect", "lessons")  # of the outside world, which DVC does not see: the flow has them made, and commits

# What a stage imports anyway; here first, so that the receipt tells the loop's own time from the work.
HEAVY = {
    "collect": ("pyarrow.parquet",),
    "validate": ("pandas", "pipeline.validate.expectations"),
    "preprocess": ("pyarrow.parquet",),
    "lessons": (),
    "train": ("torch",),
    "evaluate": ("torch", "PIL.Image"),
}


DISK = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space, or ask for more of it",
    errno.EFBIG: "free some space, or raise the limit of a file's size (ulimit -f)",
    errno.EROFS: "choose a workspace that can be written: `genloop init FOLDER`",
}


def read_snapshot(workspace: Path) -> Snapshot:
    return Snapshot.model_validate_json((workspace / SNAPSHOT / "snapshot.json").read_text())


def mended(error: BaseException) -> GenloopError | None:
    """The error as one that a person can mend, where it is one."""
    if isinstance(error, GenloopError):
        return error
    number = error.errno if isinstance(error, OSError) else _number(error)
    if number in DISK:
        where = error.filename if isinstance(error, OSError) else None
        return DiskError(os.strerror(number), where=str(where or Path.cwd()), remedy=DISK[number])
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's
        what = next(iter(str(error).splitlines()), "")[:200]
        return GenloopError(
            f"out of memory: {what}", remedy="free some memory, or lower preprocess.size or train.width"
        )
    return None


def _number(error: BaseException) -> int | None:
    """What the system said to a library in Rust (safetensors), which tells it only in words."""
    found = re.search(r"\(os error (\d+)\)", str(error))
    return int(found[1]) if found else None


def run_stage(name: str, workspace: Path, only: Sequence[str] = ()) -> None:
    """Run a stage here and leave a receipt in runs/stages: seconds of work, of imports and of one core, or the error.

    only: where it is `collect`, the sources to look at.
    """
    with span(f"stage {name}", stage=name):
        _run_stage(name, workspace, only)


def _run_stage(name: str, workspace: Path, only: Sequence[str]) -> None:
    os.chdir(workspace)
    start, cores, receipt = time.perf_counter(), core_seconds(), RECEIPTS / f"{name}.json"
    if os.environ.get("RANK", "0") != "0":  # torchrun's: the first process has the receipt
        STAGES[name](load_params(Path("params.yaml")))
        return
    receipt.unlink(missing_ok=True)
    try:
        params = load_params(Path("params.yaml"))
        for library in HEAVY[name]:
            import_module(library)
        ready = time.perf_counter()
        ready += (partial(collect, only=only) if only else STAGES[name])(params) or 0.0
    except BaseException as error:
        known = mended(error)
        if known:
            fields = {"kind": type(known).__name__, "what": known.what, "where": known.where, "remedy": known.remedy}
            with suppress(OSError):
                write_json(receipt, {"error": fields})
        raise
    spent = {"work_s": time.perf_counter() - ready, "imports_s": ready - start, "core_s": core_seconds() - cores}
    told: dict[str, Any] = {which: round(seconds, 2) for which, seconds in spent.items()}
    write_json(receipt, told)
    log("stage did its work", stage=name, **told)


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in STAGES:
        print(f"usage: python -m pipeline {{{','.join(STAGES)}}}", file=sys.stderr)
        return 2
    set_up()
    try:
        run_stage(arguments[0], Path.cwd())
    except Exception as error:
        known = mended(error)
        if not known:
            raise
        say(f"{arguments[0]}: {known}", logging.ERROR, kind=type(known).__name__)
        return known.exit_code
    finally:
        flush()
    return 0
