"""Dashboard and alerts: every figure that they name is one that `genloop metrics` gives, and Prometheus takes them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import httpx
import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from flows.metrics.serving import told_once
from flows.processes import free_port
from pipeline.params_file import load_params
from tests.flows.command import ROOT, command, until
from tests.infra.told import INFRA
from tests.unit.told_runs import build

DASHBOARD = json.loads((INFRA / "grafana/dashboard.json").read_text())
GROUPS = yaml.safe_load((INFRA / "prometheus/alerts.yml").read_text())["groups"]
ALERTS = [rule for group in GROUPS for rule in group["rules"]]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
GPU = ("genloop_gpu_utilization_ratio", "genloop_gpu_memory_used_bytes", "genloop_gpu_memory_size_bytes")
ELSEWHERE = {name: {"gpu", "instance", "job"} for name in GPU}
ELSEWHERE |= {"genloop_queue_runs": {"state", "instance", "job"}, "up": {"job", "instance"}}
NOT_HERE = re.compile("genloop_(gpu|queue)_")
TYPES = {"stat", "timeseries"}


def expressions() -> list[str]:
    shown = [target["expr"] for panel in PANELS for target in panel["targets"]]
    return [*shown, *(note["expr"] for note in DASHBOARD["annotations"]["list"]), *(rule["expr"] for rule in ALERTS)]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("told")
    build(folder)
    shutil.copy(ROOT / "params.yaml", folder)
    return folder


@pytest.fixture(scope="module")
def given(root: Path) -> dict[str, set[str]]:
    """The labels of each metric that the exporter gives."""
    families = text_string_to_metric_families(told_once(root, load_params(ROOT / "params.yaml")))
    found = {sample.name: {*sample.labels, "instance", "job"} for family in families for sample in family.samples}
    return found | ELSEWHERE


def selectors(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Metrics that are asked for, each with the labels that it is asked by."""
    plain = expression.replace("$instance", ".*")
    yield from _below(promql_parser.parse(plain))


def _below(node: Any) -> Iterator[tuple[str, set[str]]]:
    if isinstance(node, promql_parser.VectorSelector):
        matchers = getattr(node.matchers, "matchers", node.matchers)
        yield node.name, {matcher.name for matcher in matchers}
    for name in ("lhs", "rhs", "expr", "vector_selector", "vs", "args"):
        below = getattr(node, name, None)
        for one in below if isinstance(below, list) else [below]:
            if one is not None and not isinstance(one, str | float | int):
                yield from _below(one)


@pytest.mark.parametrize("expression", expressions())
def test_it_asks_for_figures_that_there_are(given: dict[str, set[str]], expression: str) -> None:
    asked = list(selectors(expression))
    assert asked and sorted(name for name, _ in asked) == sorted(re.findall(r"\b(?:genloop_\w+|up)\b", expression))
    for name, labels in asked:
        assert labels <= given[name], f"{name} has no {labels - given[name]}"


def test_one_that_there_is_not_would_be_seen(given: dict[str, set[str]]) -> None:
    (one,) = selectors("sum(rate(genloop_runs{outcome='failed', who='me'}[5m]))")
    assert one == ("genloop_runs", {"outcome", "who"}) and one[0] not in given
    with pytest.raises(ValueError, match="unclosed"):
        list(selectors("sum(rate(genloop_runs_total[5m])"))


def test_every_figure_of_work_is_shown(given: dict[str, set[str]]) -> None:
    shown = {name for expression in expressions() for name, _ in selectors(expression)}
    hidden = {name for name in given if name.startswith("genloop_")} - shown
    assert hidden <= {
        "genloop_workspace_info",  # by it workspaces are listed
        "genloop_run_duration_seconds",
        "genloop_dataset_version",
        "genloop_stage_work_seconds",
        "genloop_training_rollbacks",
        "genloop_training_last_update_timestamp_seconds",
        "genloop_batches_total",
        "genloop_batch_seconds_total",
        "genloop_batch_core_seconds_total",
        "genloop_review_verdicts",
        "genloop_review_items",
    }


def test_legends_name_labels_that_the_figures_have(given: dict[str, set[str]]) -> None:
    for panel in PANELS:
        for target in panel["targets"]:
            labels = set[str]().union(*(given[name] for name, _ in selectors(target["expr"])))
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= labels, panel["title"]


def test_panels_have_a_place_of_their_own() -> None:
    every = DASHBOARD["panels"]
    assert len({panel["id"] for panel in every}) == len(every) > 25
    assert {panel["type"] for panel in PANELS} == TYPES
    for panel in every:
        place = panel["gridPos"]
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24 and panel["title"]
    for one, other in combinations((panel["gridPos"] for panel in every), 2):
        apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart |= one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart, f"{one} lies over {other}"


def test_the_dashboard_asks_the_source_that_is_provided() -> None:
    (source,) = yaml.safe_load((INFRA / "grafana/datasource.yaml").read_text())["datasources"]
    variable = next(one for one in DASHBOARD["templating"]["list"] if one["name"] == "source")
    assert variable["type"] == "datasource" and variable["query"] == source["type"]
    assert variable["current"]["value"] == source["uid"]
    asked = {target["datasource"]["uid"] for panel in PANELS for target in panel["targets"]}
    assert asked == {"${source}"}


def test_prometheus_takes_its_files_and_each_alert_warns_when_it_should() -> None:
    if not shutil.which("promtool"):
        pytest.skip("no promtool here")
    for words in (
        ["check", "config", "infra/prometheus/prometheus.yml"],
        ["test", "rules", "tests/infra/alerts_test.yml"],
    ):
        done = subprocess.run(["promtool", *words], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    told = (ROOT / "tests/infra/alerts_test.yml").read_text()
    assert {rule["alert"] for rule in ALERTS} == set(re.findall(r"- alertname: (\w+)\n", told))


@pytest.fixture(scope="module")
def server(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A Prometheus that asks `genloop metrics` on a workspace, by the files of infra/."""
    if not shutil.which("prometheus"):
        pytest.skip("no prometheus here")
    home, ours, its = tmp_path_factory.mktemp("prometheus"), free_port(), free_port()
    config = yaml.safe_load((INFRA / "prometheus/prometheus.yml").read_text())
    config["global"] |= {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{ours}"]
    (home / "prometheus.yml").write_text(yaml.safe_dump(config))
    shutil.copy(INFRA / "prometheus/alerts.yml", home)
    words = [
        f"--config.file={home}/prometheus.yml",
        f"--storage.tsdb.path={home}",
        f"--web.listen-address=127.0.0.1:{its}",
    ]
    exporter = subprocess.Popen(**command(root, "metrics", "--port", str(ours)))
    prometheus = subprocess.Popen(["prometheus", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{its}/api/v1", trust_env=False, timeout=10) as client:
            until(lambda: len(_asked(client, "genloop_champion_version")) == 1, "figure in Prometheus", 60)
            time.sleep(3)  # rates need a second sample
            yield client
    finally:
        for process in (prometheus, exporter):
            process.terminate()
            process.wait(20)


def _asked(client: httpx.Client, expression: str) -> list[Any]:
    try:
        answer = client.get("/query", params={"query": expression}).json()
    except httpx.HTTPError:
        return []
    assert answer["status"] == "success", answer
    return list(answer["data"]["result"])


def test_a_real_prometheus_has_an_answer_for_every_panel(server: httpx.Client) -> None:
    for panel in PANELS:
        for target in panel["targets"]:
            expression = target["expr"].replace("$instance", ".*")
            found = _asked(server, expression)
            assert found or NOT_HERE.search(expression), f"{panel['title']}: nothing for {expression}"


def test_a_real_prometheus_warns_of_what_is_long_ago(server: httpx.Client) -> None:
    until(lambda: "GenloopNoRunSucceeded" in _alerts(server), "alert", 30)  # the runs here are of January
    assert "GenloopFiguresBroken" not in _alerts(server)


def _alerts(client: httpx.Client) -> set[str]:
    """That are pending or firing."""
    return {alert["labels"]["alertname"] for alert in client.get("/alerts").json()["data"]["alerts"]}
