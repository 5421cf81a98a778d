"""A round of feedback with the services that it takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flows import wiring
from pipeline.settings import Params

if TYPE_CHECKING:
    from flows.feedback import Told


def feedback_round(root: Path, params: Params) -> Told:
    """Prefect reads where its server is when it is imported: not before that is known."""
    with wiring.environment_for_run(root, ("s3", "prefect")) as services:
        services.wait(timeout_s=120)
        wiring.store().check()
        from flows.feedback import feedback

        with wiring.prefect_failures():
            return feedback(root, params)
