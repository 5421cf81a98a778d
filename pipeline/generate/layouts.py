"""How the items of a part lie in a batch: Parquet, plain files, or WebDataset's tar."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from pipeline.generate.items import Item
from pipeline.media.encoding import MIME, SUFFIX

FOLDERS = ("data", "images")  # where the items lie
PARQUET_TYPE, TAR_TYPE, LINES_TYPE = "application/vnd.apache.parquet", "application/x-tar", "application/jsonl"
TOLD = ("item", "index", "label", "seed", "sha256", "batch", "model", "version", "snapshot")  # beside the image


class Blob(NamedTuple):
    """An object of a batch; the name is relative to the batch."""

    name: str
    data: bytes
    content_type: str


def pack(layout: str, form: str, place: str, items: Sequence[Item], table: Any) -> list[Blob]:
    """The items of a part as objects, whose names tell their content. place: of the part among all; table: of items."""
    return PACKERS[layout](form, place, items, table)


def contents(layout: str, blobs: Sequence[Blob]) -> Iterator[bytes]:
    """The items' files in order, out of what `pack` made."""
    return READERS[layout](blobs)


def file_name(part: int, item: str, sha256: str, form: str) -> str:
    """Of an item that is a plain file."""
    return f"images/{part:05d}/{item}-{sha256[:8]}.{SUFFIX[form]}"


def parquet_bytes(table: Any) -> bytes:
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd")
    return out.getvalue()


def named(folder: str, place: str, data: bytes, suffix: str) -> str:
    return f"{folder}/{place}-{hashlib.sha256(data).hexdigest()[:8]}.{suffix}"


def _parquet(form: str, place: str, items: Sequence[Item], table: Any) -> list[Blob]:
    """In the convention that Hugging Face's datasets read as images."""
    import pyarrow as pa

    files = [{"bytes": item.data, "path": f"{item.id}.{SUFFIX[form]}"} for item in items]
    images = pa.array(files, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    whole = table.select(TOLD).add_column(0, "image", images)
    features: dict[str, Any] = {"image": {"_type": "Image"}}
    features |= {name: {"dtype": _dtype(table, name), "_type": "Value"} for name in TOLD}
    whole = whole.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    data = parquet_bytes(whole)
    return [Blob(named("data", f"part-{place}", data, "parquet"), data, PARQUET_TYPE)]


def _dtype(table: Any, name: str) -> str:
    return str(table.schema.field(name).type)


def _parquet_contents(blobs: Sequence[Blob]) -> Iterator[bytes]:
    import pyarrow.parquet as pq

    for blob in blobs:
        table = pq.read_table(io.BytesIO(blob.data), columns=["image"])
        yield from table.column("image").combine_chunks().field("bytes").to_pylist()


def _files(form: str, place: str, items: Sequence[Item], table: Any) -> list[Blob]:
    """A folder a part with a line for each file, in the convention of datasets' imagefolder."""
    part = int(place.partition("-")[0])
    blobs = [Blob(file_name(part, item.id, item.sha256, form), item.data, MIME[form]) for item in items]
    lines = [
        json.dumps({"file_name": blob.name.rpartition("/")[2], **told}, ensure_ascii=False)
        for blob, told in zip(blobs, table.select(TOLD).to_pylist(), strict=True)
    ]
    return [*blobs, Blob(f"images/{part:05d}/metadata.jsonl", ("\n".join(lines) + "\n").encode(), LINES_TYPE)]


def _files_contents(blobs: Sequence[Blob]) -> Iterator[bytes]:
    return (blob.data for blob in blobs if not blob.name.endswith(".jsonl"))


def _webdataset(form: str, place: str, items: Sequence[Item], table: Any) -> list[Blob]:
    """Of each item two members of one key: the image, and JSON with what is told of it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for item, told in zip(items, table.select(TOLD).to_pylist(), strict=True):
            _add(tar, f"{item.id}.{SUFFIX[form]}", item.data)
            _add(tar, f"{item.id}.json", json.dumps(told, ensure_ascii=False).encode())
    data = out.getvalue()
    return [Blob(named("data", f"part-{place}", data, "tar"), data, TAR_TYPE)]


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(data), 0o644
    tar.addfile(member, io.BytesIO(data))


def _webdataset_contents(blobs: Sequence[Blob]) -> Iterator[bytes]:
    for blob in blobs:
        with tarfile.open(fileobj=io.BytesIO(blob.data)) as tar:
            for member in tar:
                file = tar.extractfile(member)
                if file is not None and not member.name.endswith(".json"):
                    yield file.read()


PACKERS: dict[str, Callable[[str, str, Sequence[Item], Any], list[Blob]]] = {
    "parquet": _parquet,
    "files": _files,
    "webdataset": _webdataset,
}
READERS: dict[str, Callable[[Sequence[Blob]], Iterator[bytes]]] = {
    "parquet": _parquet_contents,
    "files": _files_contents,
    "webdataset": _webdataset_contents,
}
