"""Logs in JSON: whole lines, ids of what they are about, no secrets; and without them nothing is said that was not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.ids import handed_down, ids, known_as, note, take_over
from pipeline.log import without_secrets
from pipeline.parallel import each
from tests.flows.command import ROOT, genloop


def said(code: str, **environment: str) -> list[dict[str, Any]]:
    """The records that a program leaves on stderr; each line has to be one."""
    done = run(code, GENLOOP_LOG="json", **environment)
    return [json.loads(line) for line in done.stderr.splitlines()]


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    given = {**os.environ, **environment}
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=given, capture_output=True, text=True)


LOG = "from pipeline.log import log, say, set_up\nset_up()\n"


def test_a_record_has_what_when_and_which() -> None:
    code = f"{LOG}from pipeline.ids import note\nnote(run='r1', batch='b')\nlog('part made', items=3, run='other')\n"
    (record,) = said(code, GENLOOP_SNAPSHOT_ID="s1", GENLOOP_DEPLOYMENT="shop", TRACEPARENT="00-aa-bb-01")
    wanted = {"event": "part made", "level": "info", "items": 3, "run": "r1", "snapshot": "s1", "batch": "b"}
    assert record.items() >= {**wanted, "workspace": "shop", "trace_id": "aa", "span_id": "bb"}.items()
    assert record["at"].endswith("+00:00") and record["logger"] == "genloop"


def test_whatever_is_in_it_a_record_is_one_line() -> None:
    odd = "a\nb\r\u2028\x00\x1b[31m" + '"' + "\U0001f600 \udcff"
    (record,) = said(f"{LOG}log({odd!r}, x={{'y': [{odd!r}, object(), float('nan')]}})")
    assert record["event"] == odd and record["x"]["y"][0] == odd and record["x"]["y"][2] == "nan"


def test_people_are_told_as_ever_where_nobody_asks_for_json() -> None:
    done = run(f"{LOG}log('step began')\nsay('blown up')\nimport warnings; warnings.warn('old')")
    assert done.stderr.splitlines()[0] == "blown up" and "step began" not in done.stderr and "old" in done.stderr
    (record,) = said(f"{LOG}say('blown up', images_seen=5)")
    assert (record["event"], record["images_seen"]) == ("blown up", 5)


def test_libraries_warnings_and_what_nobody_catches_are_records_too() -> None:
    code = f"{LOG}import logging, warnings\nlogging.getLogger('boto').warning('slow')\n"
    code += "logging.getLogger('boto').info('no')\n"
    code += "logging.getLogger('prefect.flow_runs').error('no')\nlogging.getLogger('genloop.review').info('asked')\n"
    code += "warnings.warn('old')\n1 / 0\n"
    records = said(code)
    assert [record["event"].split(": ")[-1].split("\n")[0] for record in records][:2] == ["slow", "asked"]
    assert "old" in records[2]["event"] and records[3]["level"] == "critical" and len(records) == 4
    assert "ZeroDivisionError" in records[3]["traceback"]


def test_a_library_that_sets_logging_up_anew_silences_nothing() -> None:
    code = f"{LOG}log('one')\nimport logging.config\nlogging.config.dictConfig({{'version': 1}})\nlog('two')\n"
    assert [record["event"] for record in said(code)] == ["one", "two"]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("postgresql://me:hunter2@db/x", "postgresql://…@db/x"),
        ("GET /b?X-Amz-Signature=abc123&X-Amz-Date=1", "GET /b?X-Amz-Signature=…&X-Amz-Date=…"),
        ("key -----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY----- end", "key … end"),
        ("wJalrXUtnFEMI is it, and slack://T0/B0/xyz", "… is it, and …"),
        ("nothing secret: http://host:80/path?page=2", "nothing secret: http://host:80/path?page=2"),
    ],
)
def test_no_secret_is_in_a_line(monkeypatch: pytest.MonkeyPatch, text: str, left: str) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")
    monkeypatch.setenv("GENLOOP_NOTIFY", "mailto://a@b slack://T0/B0/xyz")
    monkeypatch.setenv("SOME_TOKEN", "x")  # too short to be one
    assert without_secrets(text) == left


def test_secrets_are_found_wherever_they_stand_in_a_record() -> None:
    code = f"{LOG}log('it is hunter22', a={{'hunter22': ['hunter22']}}, error=ValueError('hunter22'))\n"
    (record,) = said(code + "raise SystemExit", PGPASSWORD="hunter22")
    assert "hunter22" not in str(record["event"]) + str(record["a"]["hunter22"]) + record["error"]


@pytest.fixture
def clean() -> Iterator[None]:
    before = handed_down()
    take_over({})
    yield
    take_over(before)


def test_ids_are_known_inside_and_handed_down(clean: None) -> None:
    with known_as(run="r"):
        note(snapshot="s")
        with known_as(batch="b"):
            assert ids() == {"run": "r", "snapshot": "s", "batch": "b"}
            assert next(iter(each(_ids, [1]))) == ids(), "processes that are forked by an older server"
        with known_as(batch="c"):
            assert next(iter(each(_ids, [1])))["batch"] == "c"
        assert ids() == {"run": "r", "snapshot": "s"}
    assert ids() == {} == handed_down()


def _ids(_: int) -> dict[str, str]:
    return ids()


def test_a_wrong_way_of_logging_is_told(tmp_path: Path) -> None:
    done = genloop(tmp_path, "status", GENLOOP_LOG="xml")
    assert done.returncode == 2 and "GENLOOP_LOG = 'xml': Input should be" in done.stderr


def test_a_mistake_is_a_record_as_well(tmp_path: Path) -> None:
    done = genloop(tmp_path, "run", GENLOOP_LOG="json")
    (record,) = [json.loads(line) for line in done.stderr.splitlines()]
    assert done.returncode == 2 and record["level"] == "error" and record["kind"] == "ParamsError"
    assert record["event"].startswith(f"genloop: {tmp_path}: not a workspace")
