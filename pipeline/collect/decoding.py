"""Chunks inspected in processes of their own: bytes that a decoder dies of cost their item, not the run."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace

from pipeline.collect.chunks import Piece
from pipeline.collect.parts import Chunk, Known, Rows, inspected
from pipeline.media.image import NEEDS_MEMORY, PLUGINS, Inspection
from pipeline.parallel import Do, Limits, Loss, Lost, each

TIMEOUT_S = 60
LIMITS = Limits(TIMEOUT_S, memory_bytes=3 * 2**30)
IMPORTS = ("pyarrow", "pandas", "pipeline.media.image", *PLUGINS)  # Arrow looks for pandas at its first array
PROBLEMS = {
    Loss.DIED: "the decoder died",
    Loss.TIME: f"decoding took longer than {TIMEOUT_S} s",
    Loss.MEMORY: NEEDS_MEMORY,
}


def inspected_pieces(stream: Iterable[Piece]) -> Iterator[tuple[Piece, Rows]]:
    """Each piece, without its items, with their rows, in order."""
    waiting: deque[Piece] = deque()

    def chunks() -> Iterator[Chunk]:
        for piece in stream:
            waiting.append(replace(piece, chunk=replace(piece.chunk, items=[], known={})))
            yield piece.chunk

    for rows in each(inspected, chunks(), IMPORTS, LIMITS, _one_by_one, _is_harmless):
        yield waiting.popleft(), rows


def _is_harmless(chunk: Chunk) -> bool:
    """Whether there is nothing to decode."""
    return all(not item.data or row in chunk.known for row, item in enumerate(chunk.items))


def _one_by_one(do: Do[Chunk, Rows], chunk: Chunk, lost: Lost) -> Rows:
    """What the chunk would have become; an item that is lost alone too has a problem. Nothing is decoded here."""
    known = dict(chunk.known)
    for row, (unit, item) in enumerate(zip(chunk.units, chunk.items, strict=True)):
        if row not in known:
            known[row] = _found(do, Chunk(chunk.source, [unit], [item._replace(problem=None)], {}))
    return inspected(replace(chunk, known=known))


def _found(do: Do[Chunk, Rows], alone: Chunk) -> Known:
    """Only what dies twice is guilty: the kernel, where memory ends, may have taken an innocent process."""
    try:
        try:
            rows = do(alone)
        except Lost as lost:
            if lost.loss is not Loss.DIED:
                raise
            rows = do(alone)
    except Lost as lost:
        return Known(Inspection("", "", 0, 0, problem=PROBLEMS[lost.loss]), None)
    (row,) = rows.table.select(Inspection._fields).to_pylist()
    return Known(Inspection(**row), None if rows.pixels is None else rows.pixels[0])
