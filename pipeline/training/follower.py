"""A process that takes part in another's training: `python -m pipeline.training.follower`, its request on stdin."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import numpy as np

from pipeline.errors import GenloopError
from pipeline.lessons import Lessons, read_lessons
from pipeline.settings import Train
from pipeline.shards import open_shards
from pipeline.training.step import follow


def main() -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process hears it, and this one ends with it
    request = json.load(sys.stdin)
    rows = request["held_out"]
    shards = open_shards(Path(request["shards"]))
    try:
        lessons = read_lessons(Path(request["lessons"])) if request["lessons"] else Lessons()
        settings = Train.model_validate(request["settings"])
        follow(settings, shards, None if rows is None else np.asarray(rows), lessons)
    except GenloopError:
        return 1  # the first process tells of it
    return 0


if __name__ == "__main__":
    sys.exit(main())
