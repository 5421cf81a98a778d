"""The page of a run."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from flows.run_report import page_of
from flows.summary import ModelSummary, SnapshotSummary, Summary, in_markdown
from pipeline.dataset.history import Stored
from pipeline.generate.release import Cost, cost_of, release
from pipeline.report.run import Check, Delivered, Judged, Run, Step, duration, run_page
from pipeline.settings import Costs
from pipeline.values import Batch, Decision, GateResult, ModelVersion, Origin, Validation
from tests.contract.delivering import PROVENANCE, make_bundle, order_of
from tests.flows.command import genloop
from tests.unit.test_report import CARD, CHAMPION, CURVES, Cells
from tests.unit.told_versions import told_version

HOSTILE = "'\"><script>alert(1)</script><img src=http://evil/x onerror=y>"
STEPS = [Step("start", 1.0, 1.0, 0.0, True), Step("train", 3.0, 0.5, 5.5, True), Step("evaluate", 0.0, 0.0, 0.0, False)]
MODEL = ModelVersion(name="generator", version=2, alias="challenger", bundle="abc", uri="models:/generator/2")
OLD = MODEL.model_copy(update={"version": 1, "alias": "champion", "bundle": "old"})


def png() -> bytes:
    out = io.BytesIO()
    Image.new("L", (4, 4)).save(out, "PNG")
    return out.getvalue()


def run_of(folder: Path, name: str = "<plain>", before: ModelVersion | None = OLD) -> Run:
    order = order_of(make_bundle(folder / "bundle"))
    batch = Batch(id=order.id, uri=f"s3://b/{name}", items=30, model="generator", version=1, order=name)
    told = release(batch, order, "2026-01-01T00:00:00+00:00", [], [], PROVENANCE, Costs())
    gates = (GateResult(gate="nfd", value=0.25, bound=0.2, direction="at most", passed=False),)
    version = told_version(7, "2026-01-01T00:00:00+00:00", Stored(md5="m", size=1, nfiles=1))
    return Run(
        id="20260101T000000.000000",
        source=name,
        at="2026-01-01T00:00:00+00:00",
        steps=STEPS,
        version=version.model_copy(update={"sources": (Origin(name=name, uri=name),), "drift": {"labels": 0.5}}),
        validation=Validation(
            snapshot="s7", items=110, accepted=100, rejected=10, reasons={name: 3, "too small": 7}, classes={name: 100}
        ),
        checks=[Check(name, "at least 4", "1 unexpected", False)],
        judged=Judged(
            MODEL, CARD, Decision(promoted=False, gates=gates, reason=name), before, CHAMPION
        ).against_others(),
        curves=CURVES,
        pictures={"samples": png()},
        batches=[Delivered(told, png(), [(name, 4)], True)],
        cost=cost_of({"train": 7200.0}, Costs(core_watts=500.0, core_hour=0.5, kwh=0.25)),
        ids={"workspace": name},
        params=f"collect: {{source: {name}}}\n",
    )


def test_all_of_a_run_is_on_its_page(tmp_path: Path) -> None:
    page = run_page(run_of(tmp_path))
    cells = Cells(page).texts
    assert cells[cells.index("nfd") :][:7] == ["nfd", "low", "0.25", "0.2 to 0.3", "0.75", "0.3 to 0.9", "0.1"]
    assert cells[cells.index("too small") :][:4] == ["too small", "7", "<plain>", "3"]  # the most frequent reason first
    assert "at most 0.2" in cells and "failed" in cells
    assert "<b>1.25 EUR</b><span>2 core hours, 1 kWh</span>" in page  # 2 h of a core at 500 W
    assert "Version 7" in page and "10 rejected" in page and page.count("data:image/png;base64,") == 2
    assert "labels 0.5" in page and page.count("<polyline") == 2


def test_bars_follow_one_another_and_fill_the_whole(tmp_path: Path) -> None:
    bars = re.findall(r"margin-left:([\d.]+)%;width:([\d.]+)%", run_page(run_of(tmp_path)))
    assert [(float(begin), float(long)) for begin, long in bars] == [(0, 25), (25, 75), (100, 0)]


def test_nothing_that_came_from_outside_is_markup_and_nothing_is_loaded(tmp_path: Path) -> None:
    page = run_page(run_of(tmp_path, HOSTILE))
    found = Cells(page)
    assert "script" not in found.tags and "a" not in found.tags and found.tags.count("img") == 2
    assert not any(name.startswith("on") or name == "href" for name, _ in found.attributes)
    assert all(str(told).startswith("data:image/png;base64,") for name, told in found.attributes if name == "src")
    assert not any("url(" in str(told) for name, told in found.attributes if name == "style")
    assert page.count("alert(1)") == page.count("&lt;script&gt;alert(1)") > 5


def test_a_champion_is_not_held_against_itself(tmp_path: Path) -> None:
    same = run_page(run_of(tmp_path, before=OLD.model_copy(update={"bundle": "abc"})))
    cells = Cells(same).texts
    assert cells[cells.index("nfd") :][:5] == ["nfd", "low", "0.25", "0.2 to 0.3", "0.1"]
    alone = run_of(tmp_path)
    alone = replace(alone, judged=alone.judged._replace(champion=None))  # it can't be scored on other classes
    assert "The champion is" in run_page(run_of(tmp_path)) and "The champion is" not in run_page(alone)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.42, "0.4 s"), (59.6, "1 min 0 s"), (12.4, "12 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")],
)
def test_a_duration_in_words(seconds: float, told: str) -> None:
    assert duration(seconds) == told


def test_the_last_page_is_named_and_where_there_is_none_it_is_a_line(tmp_path: Path) -> None:
    done = genloop(tmp_path, "report")
    assert done.returncode == 1 and "no run has left a page yet" in done.stderr and done.stderr.count("\n") == 1
    for run in ("20260101T000000.000000", "20260102T000000.000000"):
        page_of(tmp_path, run).parent.mkdir(parents=True)
        page_of(tmp_path, run).write_text("a page")
    assert genloop(tmp_path, "report").stdout.strip() == str(page_of(tmp_path, "20260102T000000.000000"))


def test_prefect_is_told_in_a_table_that_no_name_breaks() -> None:
    summary = Summary(
        run="r",
        snapshot=SnapshotSummary(id="s", items=1, rejected=0),
        model=ModelSummary(name="m", version=1, alias="champion", scorecard={}, decision="a | b\n# c [x](http://y)"),
        batches=(),
        seconds={"train": 2.0},
        up_to_date=[],
        picture="",
        finished_at="",
        cost=Cost(seconds={"train": 36.0}, kwh=1, money=2, currency="EUR"),
    )
    lines = in_markdown(summary).splitlines()
    assert len(lines) == 8 and all(line.count("|") == 3 for line in lines)
    assert "](" not in in_markdown(summary) and "2 EUR, 0.01 core hours" in in_markdown(summary)
