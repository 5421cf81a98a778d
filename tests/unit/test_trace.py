"""Traces: one tree over processes, with the ids; and a collector that is gone costs next to nothing."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from flows.processes import free_port
from pipeline.trace import finished, span
from tests.flows.command import ROOT
from tests.unit.collector import Collector, collecting

TREE = """
import subprocess, sys, time
from pipeline.ids import known_as, note
from pipeline.parallel import each
from pipeline.trace import flush, span
from tests.unit.test_trace import task

with known_as(run="r1"), span("loop", source="postgres://me:hunter2@db") as tell:
    with span("collect"):
        note(snapshot="s1")
    with span("train"):
        subprocess.run([sys.executable, "-m", "tests.unit.stage"], check=True)
    with known_as(batch="b1"), span("generate"):
        print(list(each(task, [0, 1, 2])))
    try:
        with span("push"):
            raise ValueError("no disk")
    except ValueError:
        pass
    tell(promoted=True)
flush()
"""


def task(number: int) -> int:
    """What a worker does: a span with two in it."""
    with span("part", part=number) as tell:
        with span("sample"):
            tell(items=7)
        finished("mark", 1, 2, seconds=0.5)
    return number


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    given = {name: told for name, told in os.environ.items() if not name.startswith("OTEL_")} | environment
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=given, capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="module")
def tree() -> Iterator[Collector]:
    with collecting() as collector:
        done = run(TREE, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
        assert (done.returncode, done.stdout, done.stderr) == (0, "[0, 1, 2]\n", "")
        yield collector


def test_spans_of_all_processes_are_one_tree(tree: Collector) -> None:
    loop = tree.one("loop")
    assert {one.trace for one in tree.spans} == {loop.trace} and loop.parent == "" and tree.services == {"genloop"}
    assert [one.name for one in tree.inside(loop)] == ["collect", "train", "generate", "push"]
    assert [one.name for one in tree.inside(tree.one("train"))] == ["stage"]
    parts = tree.inside(tree.one("generate"))
    assert sorted(one.attributes["genloop.part"] for one in parts) == [0, 1, 2]
    for part in parts:
        assert sorted(one.name for one in tree.inside(part)) == ["mark", "sample"]
        assert part.attributes["genloop.items"] == 7 and part.start <= part.end
    assert len(tree.spans) == 1 + 4 + 1 + 3 * 3


def test_spans_have_the_ids_that_are_known(tree: Collector) -> None:
    loop, stage = tree.one("loop"), tree.one("stage")
    assert loop.attributes["genloop.run"] == "r1" and loop.attributes["genloop.promoted"] is True
    assert stage.attributes == {"genloop.run": "r1", "genloop.snapshot": "s1"}
    for part in tree.inside(tree.one("generate")):
        assert part.attributes.items() >= {"genloop.run": "r1", "genloop.batch": "b1"}.items()
    assert "genloop.batch" not in loop.attributes


def test_what_failed_is_marked_and_secrets_are_left_out(tree: Collector) -> None:
    assert [one.name for one in tree.spans if one.failed] == ["push"]
    assert tree.one("loop").attributes["genloop.source"] == "postgres://…@db"


def test_a_trace_that_others_began_is_gone_on_with() -> None:
    with collecting() as collector:
        parent = f"00-{'a' * 32}-{'b' * 16}-01"
        code = "from pipeline.trace import *\nwith span('loop'): pass\nflush()"
        assert run(code, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, TRACEPARENT=parent).returncode == 0
        assert (collector.one("loop").trace, collector.one("loop").parent) == ("a" * 32, "b" * 16)


def test_where_nobody_collects_nothing_is_imported() -> None:
    code = "import sys\nfrom pipeline.trace import *\nwith span('loop') as tell: tell(x=1)\nflush()\n"
    code += "assert not any(name.startswith('opentelemetry') for name in sys.modules)\n"
    for environment in ({}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "true"}):
        assert run(code, **environment).returncode == 0


def test_tracing_of_others_is_left_as_it_is() -> None:
    code = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
theirs = TracerProvider()
trace.set_tracer_provider(theirs)
from pipeline.trace import flush, span
with trace.get_tracer("theirs").start_as_current_span("outer") as outer:
    with span("ours"):
        assert trace.get_current_span() is outer
flush()
assert trace.get_tracer_provider() is theirs
"""
    with collecting() as collector:
        done = run(code, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
        assert done.returncode == 0, done.stderr
        assert collector.one("ours").parent == ""


MANY = """
import subprocess, sys, time
from pipeline.trace import flush, span
start = time.perf_counter()
with span("loop"):
    for _ in range(3):
        with span("step"):
            subprocess.run([sys.executable, "-m", "tests.unit.stage"], check=True)
    time.sleep(0.3)
    subprocess.run([sys.executable, "-m", "tests.unit.stage"], check=True)
flush()
"""


@pytest.mark.parametrize("listens", [False, True], ids=["refused", "never answers"])
def test_a_collector_that_is_gone_is_told_of_in_a_line_and_soon_left_alone(listens: bool) -> None:
    with socket.socket() as silent:
        if listens:
            silent.bind(("127.0.0.1", 0))
            silent.listen(50)
        port = silent.getsockname()[1] if listens else free_port()
        start = time.perf_counter()
        done = run(MANY, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}", OTEL_BSP_SCHEDULE_DELAY="50")
        took = time.perf_counter() - start
    assert done.returncode == 0
    assert set(done.stderr.splitlines()) == {"the traces' collector does not answer: no more spans are sent"}
    assert took < 30
