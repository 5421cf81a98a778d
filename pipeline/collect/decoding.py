"""Chunks inspected in processes of their own: bytes that a decoder dies of cost their item, not the run."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import replace

from pipeline.collect.chunks import Piece
from pipeline.collect.parts import Chunk, Known, Rows, inspected
from pipeline.manifest import schema
from pipeline.media.image import NEEDS_MEMORY, PLUGINS, Inspection
from pipeline.parallel import Do, each
from pipeline.workers import Limits, Loss, Lost, prepare

TIMEOUT_S = 60
LIMITS = Limits(TIMEOUT_S, memory_bytes=3 * 2**30)
IMPORTS = ("pipeline.arrow_alone", "pipeline.media.image", "pipeline.media.metadata", *PLUGINS)
PROBLEMS = {
    Loss.DIED: "the decoder died",
    Loss.TIME: f"decoding took longer than {TIMEOUT_S} s",
    Loss.MEMORY: NEEDS_MEMORY,
}


def prepare_workers() -> None:
    """Before it is known what they are to do."""
    prepare(inspected, IMPORTS)


def inspected_pieces(stream: Iterable[Piece]) -> Iterator[tuple[Piece, Rows]]:
    """Each piece, without its items, with their rows, in order."""
    waiting: deque[Piece] = deque()

    def chunks() -> Iterator[Chunk]:
        for piece in stream:
            waiting.append(replace(piece, chunk=replace(piece.chunk, items=[], known={})))
            yield piece.chunk

    for rows in each(inspected, chunks(), IMPORTS, LIMITS, _one_by_one, _is_harmless, _size):
        yield waiting.popleft(), rows


def _is_harmless(chunk: Chunk) -> bool:
    """Whether there is nothing to decode."""
    return all(not item.data or row in chunk.known for row, item in enumerate(chunk.items))


def _size(chunk: Chunk) -> int:
    return sum(len(item.data) for item in chunk.items)


def _one_by_one(do: Do[Chunk, Rows], chunk: Chunk, lost: Lost) -> Rows:
    """What the chunk would have become; an item that is lost alone too has a problem. Nothing is decoded here."""
    import pyarrow as pa

    from pipeline.media.image import stacked

    found, forgotten = list[Rows](), Counter[str]()
    for row, (unit, item) in enumerate(zip(chunk.units, chunk.items, strict=True)):
        known = {0: chunk.known[row]} if row in chunk.known else {}
        rows = _alone(do, replace(chunk, units=[unit], items=[item], known=known))
        forgotten.update(rows.forgotten)
        if len(rows.table):
            found.append(rows)
    if not found:
        return Rows(schema().empty_table(), None, forgotten, 0)
    table = pa.concat_tables([rows.table for rows in found]).combine_chunks()
    problems = table["problem"].to_pylist()
    pixels = [None if rows.pixels is None else rows.pixels[0] for rows in found]
    good = [problem is None or block is not None for problem, block in zip(problems, pixels, strict=True)]
    block, content = stacked(list(zip(good, pixels, strict=True))), sum(rows.content for rows in found)
    return Rows(table, block, forgotten, content)


def _alone(do: Do[Chunk, Rows], chunk: Chunk) -> Rows:
    """Only what dies twice is guilty: the kernel, where memory ends, may have taken an innocent process."""
    try:
        try:
            return do(chunk)
        except Lost as lost:
            if lost.loss is not Loss.DIED:
                raise
            return do(chunk)
    except Lost as lost:
        guilty = Known(Inspection("", "", 0, 0, problem=PROBLEMS[lost.loss]), None)
        try:
            return do(replace(chunk, known={0: guilty}))
        except Lost:  # not of being decoded: then its bytes are not kept either
            items = [item._replace(data=b"", problem=PROBLEMS[lost.loss]) for item in chunk.items]
            return do(replace(chunk, items=items, known={}))
