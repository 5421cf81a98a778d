"""Progress bars on stderr, one line a piece of work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pipeline.log import in_json


@contextmanager
def busy(title: str) -> Iterator[None]:
    """A bar that moves while the work inside, of unknown length, goes on."""
    with bar(title, "") as show:
        show(0, None, "")
        yield
        show(1, 1, "")


@contextmanager
def bar(title: str, unit: str) -> Iterator[Callable[[int, int | None, str], None]]:
    """Yield `show(done, total, note)`; a total of None means not known yet."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn(f"{title:<12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True), disable=in_json()) as progress:
        task = progress.add_task(title, total=None, note="")

        def show(done: int, total: int | None = None, note: str = "") -> None:
            progress.update(task, completed=done, total=total, note=note)

        yield show
