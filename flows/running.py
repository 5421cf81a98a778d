"""The loop with all that it takes: the only run here, noted in the history, with services that answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from flows.cli_tools import only_run
from flows.names import tag_of
from pipeline.log import say
from pipeline.settings import Params
from pipeline.trace import span

if TYPE_CHECKING:
    from flows.services import Services
    from flows.summary import Summary


def looped(
    root: Path,
    params: Params,
    started: float,
    meanwhile: Callable[[Services], None] = lambda services: None,
    listen: bool = False,
    wait_s: float = 0.0,
) -> Summary:
    """started: when, by the performance counter. meanwhile: what is done while services only start. listen: to all
    feedback so far. wait_s: for a run that is at work here, at most."""
    from flows import wiring
    from flows.history import recorded
    from flows.status import LAST
    from pipeline.files import write_json

    with (
        only_run(root, wait_s),
        recorded(root, params.collect.title) as done,
        span("loop", source=params.collect.title) as tell,
    ):
        with wiring.environment_for_run(root, ("s3", "prefect")) as services:
            from prefect import tags

            from flows.loop import loop
            from flows.reconcile import reconcile

            wiring.point_versions(root, services.get("s3"))
            meanwhile(services)
            services.wait(timeout_s=120)
            wiring.store().check()  # before an hour of training, not after
            ready = time.perf_counter() - started
            for line in reconcile(root, at_work=True):
                say(line)
            with wiring.prefect_failures(), tags(tag_of(root)):
                summary = loop(root, params, listen, round(ready, 2))
            summary = summary.with_start(ready, time.perf_counter() - started)
        model = summary.model
        tell(snapshot=summary.snapshot.id, model=f"{model.name} v{model.version}", promoted=model.promoted)
        write_json(root / LAST, summary.model_dump())
        done(summary)
    return summary


def repaired(root: Path) -> list[str]:
    """What killed runs left, set right without a run; a line each. Raises GenloopError where one is at work."""
    from flows import wiring

    with only_run(root), wiring.environment_for_run(root, ("prefect",)) as services:
        services.wait(timeout_s=120)
        from flows.reconcile import reconcile

        return reconcile(root, at_work=False)
