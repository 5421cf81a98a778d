"""Feedback out of files of strangers: what it says is taken, what is wrong is told with its place, nothing is lost."""

from __future__ import annotations

import io
import json
import os
import struct
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import SourceError
from pipeline.feedback.imports import read_feedback
from pipeline.feedback.parquet_pages import unpacked
from pipeline.feedback.rows import SHOWN, Told
from pipeline.reviews import Choice, Outcome, Refused, Verdict
from tests.peak import PeakMemory

ITEM, OTHER = "0123456789abcdef-00000001", "0123456789abcdef-00000002-ad.en"
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
AT = "2026-11-24T08:30:00Z"
HEAD = "item,source,at,impressions,clicks,conversions,revenue"
ROW = f"{ITEM},shop,{AT},1000,20,3,12.5"
OUTCOME = Outcome(
    item=ITEM,
    source="shop",
    at=datetime(2026, 11, 24, 8, 30, tzinfo=UTC),
    impressions=1000,
    clicks=20,
    conversions=3,
    revenue=12.5,
)
CELLS = {"item": ITEM, "source": "shop", "at": AT, "impressions": 1000}


def read(data: bytes | str, name: str = "f") -> list[Told | Refused]:
    return list(read_feedback(data.encode() if isinstance(data, str) else data, name, NOW))


def only(data: bytes | str) -> Told | Refused:
    (found,) = read(data)
    return found


def why(data: bytes | str) -> str:
    """The one row of it is refused."""
    found = only(data)
    assert isinstance(found, Refused), found
    return found.reason


def of_cells(**cells: object) -> str:
    return json.dumps({key: value for key, value in (CELLS | cells).items() if value is not ...})


def parquet(columns: dict[str, Any], **options: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out, **options)
    return out.getvalue()


def fails(data: bytes | str, *words: str) -> None:
    with pytest.raises(SourceError) as error:
        read(data, "the file")
    told = str(error.value)
    assert told.startswith("the file: ")
    assert "\n" not in told
    assert all(word in told for word in words), told


@pytest.mark.parametrize(
    "text",
    [
        f"{HEAD}\n{ROW}\n",
        f"{HEAD}\r\n{ROW}",
        f"\ufeff{HEAD}\n{ROW}\n\n  \n,,,,,,\n",
        f"{HEAD}\n{ROW}".replace(",", ";"),
        f"{HEAD}\n{ROW}".replace(",", "\t"),
        f"Item_ID, Source ,Date,VIEWS,clicks,conversions,revenue\n{ITEM}, shop ,2026-11-24 08:30,1000.0,20,3,12.50",
        f'"item","source","at","impressions","clicks","conversions","revenue"\n"{ITEM}","shop","{AT}","1000",20,3,12.5',
        f"{HEAD}\n{ITEM},shop,2026-11-24T10:30:00+02:00,1000,20,3,12.5",
    ],
)
def test_a_table_of_outcomes_in_the_forms_that_spreadsheets_write(text: str) -> None:
    assert read(text) == [OUTCOME]


def test_a_table_of_verdicts() -> None:
    head = "item,reviewer,at,accepted,rating,tags,note\n"
    rows = (
        f'{ITEM},ann,2026-11-24,yes,5,thick; bold stroke,"two\nlines, ""quoted"""\n{OTHER},bob,{AT},Rejected,,,=1+1\n'
    )
    at, dawn = OUTCOME.at, datetime(2026, 11, 24, tzinfo=UTC)
    note = 'two\nlines, "quoted"'
    assert read(head + rows) == [
        Verdict(item=ITEM, reviewer="ann", at=dawn, accepted=True, rating=5, tags=("thick", "bold stroke"), note=note),
        Verdict(item=OTHER, reviewer="bob", at=at, accepted=False, note="=1+1"),
    ]


def test_json_lines_of_both_and_a_list_of_them() -> None:
    verdict = {"item": OTHER, "reviewer": "ann", "at": AT, "rating": 4, "tags": ["thick"]}
    said = Verdict(item=OTHER, reviewer="ann", at=OUTCOME.at, rating=4, tags=("thick",))
    counted = Outcome(item=ITEM, source="shop", at=OUTCOME.at, impressions=1000)
    rows = [json.dumps(CELLS | {"clicks": None}), "", json.dumps(verdict)]
    for text in ("\n".join(rows), "\r\n".join(["", *rows, ""]), "\ufeff" + "\n".join(rows)):
        assert read(text) == [counted, said]
    assert read(json.dumps([CELLS, verdict], indent=2)) == [counted, said]
    assert read("[]") == []


def test_parquet_with_the_types_that_tools_write() -> None:
    at = datetime(2026, 11, 24, 8, 30)
    plain = {"item": [ITEM], "source": ["shop"], "impressions": [1000], "clicks": [20.0], "conversions": ["3"]}
    for kind in (pa.timestamp("s"), pa.timestamp("ns"), pa.timestamp("us", "Europe/Berlin"), pa.timestamp("ms")):
        column = pa.array([at], pa.timestamp("us")).cast(kind if kind.tz is None else pa.timestamp("us"))
        told = parquet({**plain, "at": column.cast(kind), "revenue": [Decimal("12.50")]})
        assert read(told) == [OUTCOME], kind
    dated = parquet({**plain, "at": [date(2026, 11, 24)], "revenue": pa.array([None], pa.float64())})
    assert read(dated) == [OUTCOME.model_copy(update={"at": datetime(2026, 11, 24, tzinfo=UTC), "revenue": 0.0})]
    judged = {"item": pa.array([ITEM, OTHER]).dictionary_encode(), "reviewer": ["ann", b"bob"], "at": [at, at]}
    verdicts = parquet({**judged, "accepted": [True, None], "rating": [None, 2], "tags": ["a;b", None]})
    assert read(verdicts) == [
        Verdict(item=ITEM, reviewer="ann", at=OUTCOME.at, accepted=True, tags=("a", "b")),
        Verdict(item=OTHER, reviewer="bob", at=OUTCOME.at, rating=2),
    ]


def test_a_path_bytes_and_an_open_file_are_alike(tmp_path: Path) -> None:
    path = tmp_path / "o.csv"
    path.write_text(f"{HEAD}\n{ROW}\n")
    with path.open("rb") as file:
        assert list(read_feedback(path, "o", NOW)) == list(read_feedback(file, "o", NOW)) == [OUTCOME]
    with pytest.raises(SourceError, match="gone: can't be read: No such file"):
        list(read_feedback(tmp_path / "gone", "gone", NOW))
    with pytest.raises(SourceError, match="can't be read"):
        list(read_feedback(tmp_path, "folder", NOW))


def task(*results: dict[str, Any], data: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    annotation = {"id": 1, "completed_by": 7, "result": list(results), "created_at": AT, "updated_at": AT} | more
    return {"id": 3, "data": data or {"item": ITEM}, "annotations": [annotation], "predictions": [{"result": "x"}]}


def result(kind: str, **value: Any) -> dict[str, Any]:
    return {"from_name": "q", "to_name": "image", "type": kind, "value": value, "origin": "manual"}


SAID = Verdict(item=ITEM, reviewer="label-studio-7", at=OUTCOME.at, accepted=True)
STARS, ADDRESS = result("rating", rating=4), f"https://host/b/items/{ITEM}.png?X-Amz-Signature=ab%2F1&x=/y"
OLD = {"completed_by": 7, "result": [STARS], "created_at": int(OUTCOME.at.timestamp())}


def said(**fields: Any) -> list[Verdict]:
    return [Verdict(**(dict(SAID) | {"accepted": None} | fields))]


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (task(result("choices", choices=["Accept"])), [SAID]),
        (task(result("choices", choices=["no", "too thin"])), said(accepted=False, tags=("too thin",))),
        (task(STARS, result("textarea", text=["a", "b"])), said(rating=4, note="a b")),
        (task(STARS, data={"image": ADDRESS, "text": "x"}), said(rating=4)),
        (task(STARS, data={"x": f"s3://b/{OTHER}"}), said(item=OTHER, rating=4)),
        (task(STARS, data={"x": f"s3://b/{OTHER}.JPG"}), said(item=OTHER, rating=4)),
        (task(result("rectanglelabels", x=1), STARS), said(rating=4)),
        (task(STARS, completed_by={"id": 7, "email": "ann@example.org"}), said(rating=4)),
        (task(STARS, completed_by="ann@example.org"), said(reviewer="label-studio-ann-example.org", rating=4)),
        (task(STARS, was_cancelled=True), []),
        ({"data": {"item": ITEM}, "annotations": []}, []),
        ({"data": {"item": ITEM}, "completions": [OLD]}, said(rating=4)),
    ],
)
def test_label_studio_says_verdicts(told: dict[str, Any], expected: list[Verdict]) -> None:
    assert read(json.dumps([told])) == expected


@pytest.mark.parametrize(
    "data",
    [
        {"right": OTHER, "left": ITEM},
        {"image2": f"/data/{OTHER}.png", "image1": f"/data/{ITEM}.png"},
        {"text_a": ITEM, "text_b": OTHER},
    ],
)
def test_label_studio_says_choices_between_two(data: dict[str, Any]) -> None:
    chosen = task(result("pairwise", selected="right"), data=data)
    expected = Choice(better=OTHER, worse=ITEM, reviewer="label-studio-7", at=OUTCOME.at)
    assert read(json.dumps([chosen])) == [expected]


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (task(STARS, data={"image": "x.png"}), "data should have the item's name"),
        (task(STARS, data={"a": ITEM, "b": OTHER}), "data should have the item's name"),
        (task(STARS, STARS), "two things at once"),
        (task(result("choices", choices=["yes", "no"])), "two things at once"),
        (task(result("choices", choices=["<script>"])), "tags.0: "),
        (task(), "a verdict should say something"),
        (task(STARS, completed_by=None), "nobody is named"),
        (task(STARS, updated_at=None, created_at=None), "at: "),
        (task(STARS, updated_at=None, created_at=1e300), "at: "),
        (task(result("rating", rating=11)), "rating: "),
        (task(result("rating", rating=[[]])), "rating: "),
        (task(result("pairwise", selected="up")), "left or right"),
        (task(result("pairwise", selected="left")), "data should have two items"),
        ({"data": [], "annotations": []}, "a task should have data"),
        ({"data": {}, "annotations": [3]}, "an annotation should be"),
        ({"data": {}, "annotations": [{"completed_by": 1, "result": [{"type": "rating", "value": 3}]}]}, "at: "),
        (task({"type": "rating", "value": "4"}), "an object as its value"),
        ({"data": {"item": ITEM}, "annotations": [{"result": 3}]}, "an annotation should be"),
    ],
)
def test_label_studio_that_is_not_understood_is_told(told: dict[str, Any], reason: str) -> None:
    good = task(result("choices", choices=["accept"]))
    before, found, after = read(json.dumps([good, told, good]))
    assert (before, after) == (SAID, SAID)
    assert isinstance(found, Refused)
    assert found.place == 2
    assert reason in found.reason


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"item": ...}, "item"),
        ({"item": "=HYPERLINK(1)"}, "item"),
        ({"item": f"{ITEM}/../x"}, "item"),
        ({"item": [ITEM]}, "item"),
        ({"source": "a b"}, "source"),
        ({"source": ...}, "source, as outcomes have, or a reviewer"),
        ({"reviewer": "ann"}, "source, as outcomes have, or a reviewer"),
        ({"impressions": ...}, "should have one of"),
        ({"impressions": "1e400"}, "impressions"),
        ({"impressions": "NaN"}, "impressions"),
        ({"impressions": -1}, "impressions"),
        ({"impressions": 1.5}, "impressions"),
        ({"impressions": True}, "impressions"),
        ({"impressions": 10**13}, "impressions"),
        ({"impressions": "9" * 5000}, "impressions"),
        ({"impressions": {"$gt": 0}}, "impressions"),
        ({"clicks": 1001}, "at least as many impressions"),
        ({"revenue": "1e400"}, "revenue"),
        ({"revenue": "inf"}, "revenue"),
        ({"revenue": 1e308}, "revenue"),
        ({"revenue": "12,50"}, "revenue"),
        ({"at": ...}, "at"),
        ({"at": 1764000000}, "at"),
        ({"at": "25/11/2026"}, "at"),
        ({"at": "1970-01-01"}, "at: should be after 1999"),
        ({"at": "2027-01-01"}, "at: should be after 1999 and not in the future"),
        ({"at": "0001-01-01T00:00:00+23:59"}, "at: should be after 1999"),
        ({"at": "2026-11-24" + " " * 10**4 + "x"}, "at"),
        ({"clics": 3}, "clics: not known"),
        ({"Clicks": 3, "clicks": 3}, "clicks: there more than once"),
        ({"source": "a\0b"}, "a NUL"),
        ({"source": "a\ud800b"}, "not UTF-8"),
    ],
)
def test_a_row_that_is_wrong_is_told_with_place_and_reason(cells: dict[str, Any], reason: str) -> None:
    good = Outcome(item=ITEM, source="shop", at=OUTCOME.at, impressions=1000)
    before, found, after = read("\n".join([json.dumps(CELLS), of_cells(**cells), json.dumps(CELLS)]))
    assert (before, after) == (good, good)
    assert isinstance(found, Refused)
    assert (found.file, found.place) == ("f", 2)
    assert reason in found.reason
    assert len(found.row) <= SHOWN + 1
    assert found.model_dump_json().isprintable()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"item": 1e400', "no JSON"),
        ("[1]", "no JSON object"),
        ("7", "no JSON object"),
        ('{"impressions": NaN}', "NaN is no number"),
        ('{"impressions": -Infinity}', "is no number"),
        ('{"impressions": ' + "9" * 5000 + "}", "no JSON"),
        ('{"clicks": 1, "clicks": 2}', "twice"),
        ('{"clicks": ' + "[" * 30_000, "nested too deep"),
        ('{"note": "' + "x" * 70_000 + '"}', "more than 65536 bytes"),
    ],
)
def test_a_line_that_is_no_json_costs_itself_alone(line: str, reason: str) -> None:
    good = json.dumps(CELLS)
    before, found, after = read(f"{good}\n{line}\n{good}")
    assert isinstance(before, Outcome)
    assert before == after
    assert isinstance(found, Refused)
    assert found.place == 2
    assert reason in found.reason
    fails(f"{line}\n{good}" if line[0] == "{" else "{" + line, "line 1")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (f"{ITEM},shop,{AT}", "3 cells, where the head has 7"),
        (ROW + ",x", "8 cells, where the head has 7"),
        (ROW.replace("shop", "sh\0op"), "a NUL"),
        (ROW.replace("shop", "x" * 70_000), "more than 65536 bytes"),
        (ROW.replace("1000", "1e400"), "impressions"),
        (ROW.replace("12.5", '"12,5"'), "revenue"),
        (ROW.replace("shop", "=cmd|' /C calc'!A0"), "source"),
        (ROW.replace("shop", '"two\nlines"'), "source"),
    ],
)
def test_a_bad_row_of_a_table_costs_itself_alone(row: str, reason: str) -> None:
    before, found, after = read(f"{HEAD}\n{ROW}\n{row}\n{ROW}\n")
    assert before == after == OUTCOME
    assert isinstance(found, Refused)
    assert found.place == 2
    assert reason in found.reason


def test_latin_1_is_told_from_utf_8_row_by_row() -> None:
    head = "item,reviewer,at,accepted,note\n"
    row = f"{ITEM},ann,{AT},1,schön\n"
    good, bad = read(head.encode() + row.encode() + row.encode("latin-1"))
    assert isinstance(good, Verdict)
    assert good.note == "schön"
    assert isinstance(bad, Refused)
    assert "not UTF-8" in bad.reason
    json_row = f'{{"item": "{ITEM}", "reviewer": "ann", "at": "{AT}", "note": "schön"}}'
    assert "not UTF-8" in why(json_row.encode("latin-1"))
    assert "not UTF-8" in why(f"[{json_row}]".encode("latin-1"))


def test_a_quote_that_is_not_closed_is_told_and_what_follows_later_is_read() -> None:
    rows = [f'{ITEM},"shop,{AT},1,0,0,0', *[ROW] * 5000]
    found = read("\n".join([HEAD, *rows]))
    assert isinstance(found[0], Refused)
    assert "field larger" in found[0].reason
    assert 2000 < found.count(OUTCOME) < 5000


@pytest.mark.parametrize(
    ("data", "word"),
    [
        ("", "nothing is in it"),
        (" \n\n ", "nothing is in it"),
        ("\ufeff", "nothing is in it"),
        ("hello", "hello: not known"),
        (HEAD.replace("clicks", "impressions"), "impressions: there more than once"),
        (HEAD.replace("clicks", "views"), "impressions: there more than once"),
        (HEAD.replace("at,", ""), "at: not there"),
        (HEAD.replace("source,", ""), "source or reviewer"),
        (HEAD + ",reviewer", "source or reviewer"),
        (HEAD + ",clics", "clics: not known"),
        (HEAD + ",", "a column without a name"),
        ("x" * 100_000 + "\n", "not there"),
        (HEAD.encode("utf-16"), "UTF-16"),
        (b"PK\3\4xxxx", "ZIP"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "not known"),
        (b"\0" * 5000, "not known"),
        ("[", "no list"),
        ("[3", "no list"),
        ("[3, {}]", "no list"),
        ("item,source\rx,y", "new-line character"),
        ("[" * 100_000, "nested too deep"),
        ('[{"a": "' + "x" * 5_000_000, "no list"),
        ("{\n", "line 1"),
        ("<html>", "not known"),
        (b"PAR1", "no Parquet"),
        (b"PAR1" + b"\xff" * 100 + b"PAR1", "no Parquet"),
    ],
)
def test_a_file_that_is_none_of_it_fails_in_one_line(data: bytes | str, word: str) -> None:
    fails(data, word)


def test_a_list_that_breaks_off_says_from_where_on() -> None:
    whole = json.dumps([CELLS, CELLS, CELLS])
    for text in (whole[:-5], whole.replace("}, {", "} {", 2), f"{whole} [", whole[:-1] + ", nul"):
        *good, last = read(text)
        assert good
        assert all(isinstance(one, Outcome) for one in good)
        assert isinstance(last, Refused)
        assert "from here on nothing was read" in last.reason
        assert last.place == len(good) + 1


class Pieces(io.RawIOBase):
    """A file of any length that is nowhere."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._left, self._at = pieces, b"", 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._left = self._left or next(self._pieces, b"")
        count = min(len(buffer), len(self._left))
        buffer[:count], self._left = self._left[:count], self._left[count:]
        return count


class Endless(io.BufferedReader):
    """Can be wound back only as the reader does: to the begin, after a look at it."""

    def seek(self, place: int, whence: int = 0) -> int:
        assert (place, whence) == (0, 0)
        self._looked = True
        return 0

    def read(self, size: int | None = -1) -> bytes:
        return self.peek(size or 0)[:size] if not hasattr(self, "_looked") else super().read(size)


def endless(first: str, piece: bytes, times: int, last: str) -> Endless:
    def pieces() -> Iterator[bytes]:
        yield first.encode().ljust(4096)
        yield from (piece for _ in range(times))
        yield last.encode()

    return Endless(Pieces(pieces()), 2**16)


@pytest.mark.parametrize("kind", ["csv", "json", "array"])
def test_a_line_of_a_gigabyte_needs_little_memory(kind: str) -> None:
    first, last = (f"{HEAD}\n{ROW}\n", f"\n{ROW}") if kind == "csv" else (of_cells() + "\n", f"\n{of_cells()}")
    file = endless("[" + of_cells() + "," if kind == "array" else first, b"[" * 2**20, 1024, last)
    with PeakMemory(os.getpid()) as peak:
        found = list(read_feedback(file, "f", NOW))
    assert peak.beyond < 64 * 2**20
    assert [type(one) for one in found] == [Outcome, Refused, Outcome][: 2 if kind == "array" else 3]
    assert kind == "array" or "more than 65536 bytes" in found[1].reason


def test_fifty_thousand_rows_need_little_memory() -> None:
    file = endless(f"{HEAD}\n{ROW}\n", f"{ROW}\n".encode() * 1000, 50, ROW)
    with PeakMemory(os.getpid()) as peak:
        assert sum(1 for _ in read_feedback(file, "f", NOW)) == 50_002
    assert peak.beyond < 32 * 2**20


def of_parquet(**columns: Any) -> dict[str, Any]:
    return {"item": [ITEM], "source": ["shop"], "at": [AT], "impressions": [1000]} | columns


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        (of_parquet(impressions=[-1]), "impressions"),
        (of_parquet(impressions=[float("nan")]), "impressions"),
        (of_parquet(impressions=pa.array([2**64 - 1], pa.uint64())), "impressions"),
        (of_parquet(impressions=[True]), "impressions"),
        (of_parquet(revenue=[float("inf")]), "revenue"),
        (of_parquet(at=pa.array([2**62], pa.timestamp("us"))), "calendar"),
        (of_parquet(at=pa.array([-(2**62)], pa.timestamp("ns"))), "after 1999"),
        (of_parquet(at=pa.array([2**30], pa.date32())), "calendar"),
        (of_parquet(item=[b"\xff\xfe"]), "not UTF-8"),
        (of_parquet(source=["a\0"]), "a NUL"),
        (of_parquet(source=["x" * 100_000]), "a cell of 100000 bytes"),
    ],
)
def test_a_bad_row_of_parquet_is_told(columns: dict[str, Any], reason: str) -> None:
    assert reason in why(parquet(columns))


@pytest.mark.parametrize(
    ("columns", "word"),
    [
        (of_parquet(impressions=[[1]]), "list"),
        (of_parquet(source=[{"a": 1}]), "struct"),
        (of_parquet(extra=["x"]), "extra: not known"),
        ({"item": [ITEM]}, "at: not there"),
    ],
)
def test_parquet_of_something_else_fails(columns: dict[str, Any], word: str) -> None:
    fails(parquet(columns), word)


def test_parquet_with_a_column_twice_fails() -> None:
    out = io.BytesIO()
    arrays = [pa.array([ITEM]), pa.array(["shop"]), pa.array([AT]), pa.array([1]), pa.array([2])]
    pq.write_table(pa.Table.from_arrays(arrays, ["item", "source", "at", "clicks", "clicks"]), out)
    fails(out.getvalue(), "clicks: there more than once")


def test_a_part_of_parquet_that_is_damaged_ends_it_and_is_told() -> None:
    columns = {name: values * 4000 for name, values in of_parquet().items()}
    data = bytearray(parquet(columns, row_group_size=2000, compression="snappy", use_dictionary=False))
    column = pq.read_metadata(io.BytesIO(bytes(data))).row_group(1).column(0)
    end = column.data_page_offset + column.total_compressed_size
    data[end - 100 : end] = b"\xff" * 100
    *good, last = read(bytes(data))
    assert len(good) == 2000
    assert isinstance(last, Refused)
    assert last.place == 2001
    assert "damaged" in last.reason


def test_parquet_that_unpacks_out_of_proportion_is_not_read() -> None:
    notes = pa.array(["x" * 2**20] * 64)
    judged = {"item": [ITEM] * 64, "reviewer": ["ann"] * 64, "at": [AT] * 64, "note": notes}
    bomb = parquet(judged, compression="zstd", use_dictionary=False)
    assert len(bomb) < 10**5
    with PeakMemory(os.getpid()) as peak:
        fails(bomb, "would unpack to")
    assert peak.beyond < 32 * 2**20
    repeated = parquet({**judged, "note": pa.array(["x" * 2**20] * 64).dictionary_encode()}, compression="zstd")
    assert {one.reason for one in read(repeated) if isinstance(one, Refused)} == {f"a cell of {2**20} bytes"}


def zigzag(value: int, length: int = 0) -> bytes:
    """As the footer has numbers; in so many bytes, if there are fewer."""
    value, found = 2 * value, bytearray()
    while value > 127 or len(found) + 1 < length:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def test_parquet_whose_footer_lies_of_its_size_is_not_read_either() -> None:
    judged = {"item": [ITEM] * 64, "reviewer": ["ann"] * 64, "at": [AT] * 64, "note": ["x" * 2**20] * 64}
    bomb = parquet(judged, compression="zstd", use_dictionary=False)
    told = zigzag(pq.read_metadata(io.BytesIO(bomb)).row_group(0).column(3).total_uncompressed_size)
    before, _, after = bomb.rpartition(told)
    lying = before + zigzag(1000, len(told)) + after
    assert pq.read_metadata(io.BytesIO(lying)).row_group(0).column(3).total_uncompressed_size == 1000
    with PeakMemory(os.getpid()) as peak:
        fails(lying, "would unpack to 671")
    assert peak.beyond < 32 * 2**20


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("compression", ["none", "snappy", "zstd", "gzip"])
@pytest.mark.parametrize("dictionary", [True, False])
def test_pages_of_all_kinds_are_measured(version: Any, compression: str, dictionary: bool) -> None:
    values = {
        "item": [ITEM, OTHER] * 5000,
        "source": ["shop"] * 10_000,
        "at": [OUTCOME.at] * 10_000,
        "clicks": [0] * 10_000,
    }
    options = {"compression": compression, "use_dictionary": dictionary, "data_page_version": version}
    data = parquet(values, **options, data_page_size=4096, row_group_size=3000)
    assert len(read(data)) == 10_000
    for group in map(pq.read_metadata(io.BytesIO(data)).row_group, range(4)):
        for column in map(group.column, range(4)):
            begin = column.dictionary_page_offset if column.has_dictionary_page else column.data_page_offset
            size = unpacked(io.BytesIO(data), begin, column.total_compressed_size)
            assert 0 < size <= column.total_uncompressed_size  # which counts the heads too
            assert size > 0.5 * column.total_uncompressed_size or size < 4096


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_pages_that_are_none_are_refused(data: bytes) -> None:
    try:
        assert unpacked(io.BytesIO(data), 0, len(data)) >= 0
    except ValueError as error:
        assert "page" in str(error) or "64 bits" in str(error)


def cut(data: bytes, place: float, flips: Sequence[tuple[float, int]]) -> bytes:
    found = bytearray(data[: int(place * len(data)) + 1])
    for where, value in flips:
        found[int(where * (len(found) - 1))] = value
    return bytes(found)


WHOLE = {
    "csv": f"{HEAD}\n{ROW}\n{ROW}\n".encode(),
    "lines": f"{of_cells()}\n{of_cells(clicks=3)}\n".encode(),
    "tasks": json.dumps(
        [task(STARS), task(result("pairwise", selected="left"), data={"a1": ITEM, "a2": OTHER})]
    ).encode(),
    "parquet": parquet({name: values * 3 for name, values in of_parquet(revenue=[1.5]).items()}),
}


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from(sorted(WHOLE)),
    st.floats(0, 1),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6),
)
def test_whatever_is_done_to_a_file_it_is_read_or_refused(
    kind: str, place: float, flips: list[tuple[float, int]]
) -> None:
    try:
        found = read(cut(WHOLE[kind], place, flips))
    except SourceError as error:
        assert "\n" not in str(error)
    else:
        assert all(isinstance(one, Outcome | Verdict | Choice | Refused) for one in found)


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        read(data)
    except SourceError as error:
        assert "\n" not in str(error)


def test_the_length_of_a_footer_that_lies_is_no_allocation() -> None:
    before = pa.default_memory_pool().max_memory()
    fails(b"PAR1" + b"\0" * 64 + struct.pack("<I", 2**31 - 1) + b"PAR1", "no Parquet")
    assert pa.default_memory_pool().max_memory() - before < 2**24


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"clicks": 10**6}, "there should be at least as many impressions as clicks and as conversions"),
        ({"item": "shoes"}, "item: is no item's name, such as 0123456789abcdef-00000042"),
    ],
)
def test_a_reason_is_in_words_of_ours(cells: dict[str, Any], reason: str) -> None:
    (refused,) = read(json.dumps({**CELLS, **cells}))
    assert isinstance(refused, Refused) and refused.reason == reason
