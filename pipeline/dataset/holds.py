"""Legal holds: what must not go, by whose word and until when; a file of the workspace, for git to keep."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Literal

from pipeline.errors import GenloopError
from pipeline.files import write_json
from pipeline.values import Value

HOLDS = Path("versions/holds.json")

Held = Literal["snapshot", "model", "batch"]


class Hold(Value):
    """name: a version's number, NAME/VERSION of a model, or a batch's id. at, released: ISO 8601; until: the last day,
    YYYY-MM-DD, or empty. One that was released stays in the file, with who did it."""

    kind: Held
    name: str
    why: str
    by: str
    at: str
    until: str = ""
    released: str = ""
    released_by: str = ""

    def stands(self, today: date) -> bool:
        return not self.released and (not self.until or today <= date.fromisoformat(self.until))


def holds(workspace: Path) -> list[Hold]:
    """All that ever were, the oldest first. Raises GenloopError where the file is damaged: then nothing may go."""
    path = workspace / HOLDS
    try:
        return [Hold.model_validate(one) for one in json.loads(path.read_text())] if path.exists() else []
    except (ValueError, TypeError):
        raise GenloopError("the file of holds is damaged", where=str(path), remedy="get it back from git") from None


def standing(workspace: Path, today: date) -> list[Hold]:
    return [one for one in holds(workspace) if one.stands(today)]


def add_hold(workspace: Path, new: Hold) -> None:
    _write(workspace, [*holds(workspace), new])


def release(workspace: Path, kind: Held, name: str, at: str, by: str) -> int:
    """End every hold of it that was not ended before; how many."""
    known = holds(workspace)
    ended = [one for one in known if (one.kind, one.name) == (kind, name) and not one.released]
    _write(workspace, _released(known, ended, at, by))
    return len(ended)


def _released(known: list[Hold], ended: list[Hold], at: str, by: str) -> Iterator[Hold]:
    for one in known:
        yield one.model_copy(update={"released": at, "released_by": by}) if one in ended else one


def _write(workspace: Path, all_: Iterator[Hold] | list[Hold]) -> None:
    write_json(workspace / HOLDS, [one.model_dump() for one in all_])
