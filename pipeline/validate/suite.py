"""The Great Expectations suite a dataset must pass as a whole, and its Data Docs."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.files import write_json
from pipeline.settings import Validate

if TYPE_CHECKING:
    import pandas as pd

STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;"
    "color:#1d2329;background:#fff}table{border-collapse:collapse;width:100%}"
    "th,td{text-align:left;padding:.35rem .7rem;border-bottom:1px solid #d5dae0;vertical-align:top}"
    ".failed{color:#a4161a;font-weight:600}.passed{color:#1b6e3c}.modal,.fa,.fas{display:none}"
)
CHECKS = "checks.json"  # the index's table, for programs
NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)  # the same snapshot gives the same pages, to the byte
PASSING = re.compile(r"-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|1970-01-01T00:00:00Z|\b2\d{7}T\d{6}\.\d+Z\b")
EXPLAINED = (
    "Each item was accepted or rejected by itself. Great Expectations judges what that left: of each part of the "
    "snapshot the extremes and counts of its accepted items (parts), and the dataset as a whole (dataset)."
)
REMOTE = re.compile(
    r"<script\b.*?</script>|<link\b[^>]*https?://[^>]*>|<img\b[^>]*https?://[^>]*>|url\('?https?://[^)]*\)",
    re.DOTALL | re.IGNORECASE,
)


@dataclass(frozen=True)
class Check:
    """One expectation: which frame, which core expectation with which arguments, and what a person reads."""

    name: str
    frame: str
    expectation: str
    arguments: Mapping[str, Any]
    fault: str = ""


@dataclass(frozen=True)
class Totals:
    """The dataset in numbers; `classes` and `unknown_modes` count accepted items. No classes: nothing is labelled."""

    items: int
    accepted: int
    reasons: Mapping[str, int]
    classes: Mapping[str, int]
    unknown_modes: Mapping[str, int] = field(default_factory=dict)

    @property
    def rejected(self) -> int:
        return self.items - self.accepted

    @property
    def row(self) -> dict[str, float]:
        """The second frame's only row: what is true of the dataset and of no single item."""
        smallest, largest = min(self.classes.values(), default=0), max(self.classes.values(), default=0)
        return {
            "accepted_items": self.accepted,
            "rejected_share": self.rejected / max(1, self.items),
            "smallest_class_items": smallest,
            "class_imbalance": largest / max(1, smallest),
        }


def judge(parts: pd.DataFrame, totals: Totals, settings: Validate, docs: Path, run: str) -> list[str]:
    """Run the suite and write Data Docs into the folder `docs`. Returns what failed, with numbers.

    parts: the accepted items summed up, a row a part.
    """
    import pandas as pd

    frames = {"parts": parts, "dataset": pd.DataFrame([totals.row])}
    checks = [*_part_checks(settings, totals), *_dataset_checks(settings, totals)]
    context = _context(docs)
    results: dict[str, Any] = {}
    for name, frame in frames.items():
        results |= _run(context, name, frame, [check for check in checks if check.frame == name], run)
    with _no_page_lost():
        context.build_data_docs()
    _write_pages(docs, checks, results, totals)
    return [_fault(check, results[check.name]) for check in checks if not results[check.name].success]


def _part_checks(settings: Validate, totals: Totals) -> Iterator[Check]:
    """What the rules promise of every accepted item, and that its mode is one that is known."""

    def values(name: str, fault: str = "", **bounds: float) -> Check:
        return Check(name, "parts", "ExpectColumnValuesToBeBetween", {"column": name, **bounds}, fault)

    yield values("smallest_side", min_value=settings.min_side)
    yield values("largest_side", max_value=settings.max_side)
    yield values("lowest_contrast", min_value=float(np.float32(settings.min_contrast)))  # as the rule compares it
    unknown, example = sum(totals.unknown_modes.values()), next(iter(totals.unknown_modes), None)
    yield values("unknown_modes", f"{unknown} accepted items have a wrong mode (such as {example!r})", max_value=0)
    yield values("copies", max_value=0)
    yield values("problems", max_value=0)
    if totals.classes:
        yield values("unlabelled", max_value=0)


def _dataset_checks(settings: Validate, totals: Totals) -> Iterator[Check]:
    row = totals.row
    yield Check(
        "accepted_items", "dataset", "ExpectColumnMinToBeBetween",
        {"column": "accepted_items", "min_value": settings.min_items},
        f"{totals.accepted} accepted items, min_items is {settings.min_items}",
    )  # fmt: skip
    why = ", ".join(f"{items} {reason}" for reason, items in _by_count(totals.reasons))
    yield _at_most(
        "rejected_share", settings.max_rejected_share,
        f"{totals.rejected} of {totals.items} items rejected ({why}), a share of {row['rejected_share']:.3g}, "
        f"max_rejected_share is {settings.max_rejected_share:g}",
    )  # fmt: skip
    if not totals.classes:
        return
    (smallest, few), (largest, many) = _by_count(totals.classes)[-1], _by_count(totals.classes)[0]
    yield Check(
        "smallest_class_items", "dataset", "ExpectColumnMinToBeBetween",
        {"column": "smallest_class_items", "min_value": settings.min_class_items},
        f"class {smallest!r} has {few} accepted items, min_class_items is {settings.min_class_items}",
    )  # fmt: skip
    yield _at_most(
        "class_imbalance", settings.max_class_imbalance,
        f"class {largest!r} has {many} items and {smallest!r} {few}, {row['class_imbalance']:.3g} times as many, "
        f"max_class_imbalance is {settings.max_class_imbalance:g}",
    )  # fmt: skip


def _at_most(column: str, bound: float, fault: str) -> Check:
    arguments = {"column": column, "max_value": bound}
    return Check(column, "dataset", "ExpectColumnMaxToBeBetween", arguments, fault)


def _by_count(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))


def _context(docs: Path) -> Any:
    from pipeline.validate.expectations import ProgressBarsConfig, gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    site: Any = {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "store_backend": {
            "class_name": "TupleFilesystemStoreBackend",
            "base_directory": str(docs.absolute()),
        },
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
    }
    context.update_data_docs_site("local_site", site)
    return context


def _run(context: Any, name: str, frame: pd.DataFrame, checks: list[Check], run: str) -> dict[str, Any]:
    from pipeline.validate.expectations import RunIdentifier, expectations, gx

    asset = context.data_sources.add_pandas(f"snapshot {name}").add_dataframe_asset(name)
    suite = gx.ExpectationSuite(name=name)
    for check in checks:
        kind = getattr(expectations, check.expectation)
        suite.add_expectation(kind(**check.arguments, meta={"check": check.name}))
    definition = gx.ValidationDefinition(
        name=name, data=asset.add_batch_definition_whole_dataframe("all"), suite=context.suites.add(suite)
    )
    checkpoint = context.checkpoints.add(
        gx.Checkpoint(
            name=name,
            validation_definitions=[context.validation_definitions.add(definition)],
            result_format={"result_format": "SUMMARY"},
        )
    )
    done = checkpoint.run(batch_parameters={"dataframe": frame}, run_id=RunIdentifier(run, NO_TIME))
    (outcome,) = done.run_results.values()
    return {result.expectation_config.meta["check"]: result for result in outcome.results}


@contextmanager
def _no_page_lost() -> Iterator[None]:
    """Data Docs log an error in writing a page and go on without it: raise it."""
    logger, handler = logging.getLogger("great_expectations.render"), _Raise()
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _Raise(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if error := sys.exc_info()[1]:
            raise error


def _fault(check: Check, result: Any) -> str:
    if check.fault:
        return check.fault
    bad, examples = result.result.get("unexpected_count"), result.result.get("partial_unexpected_list")
    if bad is None:
        return f"column {check.name!r} could not be judged: {result.exception_info}"
    return f"{bad} parts have a wrong {check.name} (such as {(examples or [None])[0]!r})"


def _write_pages(docs: Path, checks: list[Check], results: Mapping[str, Any], totals: Totals) -> None:
    """Data Docs load scripts and styles from the network; keep what stands without, and index it.

    What changes at every run (times, random ids) goes too: DVC would take the pages for changed.
    """
    for page in docs.rglob("*.html"):
        local = PASSING.sub("", REMOTE.sub("", page.read_text()))
        page.write_text(local.replace("</head>", f"<style>{STYLE}</style></head>", 1))
    for picture in (docs / "static" / "images").glob("*.gif"):
        picture.unlink()
    (docs / "index.html").write_text(_index(docs, checks, results, totals))
    write_json(docs / CHECKS, [_told(check, results[check.name]) for check in checks])


def _told(check: Check, result: Any) -> dict[str, Any]:
    return {
        "check": check.name,
        "expected": _bounds(check),
        "observed": _observed(result),
        "passed": bool(result.success),
    }


def _index(docs: Path, checks: list[Check], results: Mapping[str, Any], totals: Totals) -> str:
    failed = sum(not results[check.name].success for check in checks)
    verdict = f"{failed} of {len(checks)} checks failed" if failed else f"all {len(checks)} checks passed"
    rows = [_told(check, results[check.name]) for check in checks]
    table = "".join(
        f"<tr><td class={'passed' if told['passed'] else 'failed'}>{'passed' if told['passed'] else 'failed'}</td>"
        f"<td>{escape(told['check'])}</td><td>{escape(told['expected'])}</td><td>{escape(told['observed'])}</td></tr>"
        for told in rows
    )
    pages = sorted(path.relative_to(docs).as_posix() for path in docs.glob("validations/**/*.html"))
    links = "".join(f"<li><a href='{escape(page)}'>{escape(page.split('/')[1])}</a></li>" for page in pages)
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8><title>Validation</title>"
        f"<meta name=viewport content='width=device-width'><style>{STYLE}</style></head><body>"
        f"<h1>Validation: {verdict}</h1><p>{totals.accepted} of {totals.items} items accepted.</p>"
        f"<p>{EXPLAINED}</p><table><tr><th>Outcome<th>Check<th>Expected<th>Observed</tr>{table}</table>"
        f"{_counts('Rejected, by reason', totals.reasons)}{_counts('Accepted, by class', totals.classes)}"
        f"<h2>Great Expectations</h2><ul>{links}</ul></body></html>\n"
    )


def _counts(title: str, counts: Mapping[str, int]) -> str:
    rows = "".join(f"<tr><td>{escape(name)}</td><td>{count}</td></tr>" for name, count in _by_count(counts))
    return f"<h2>{title}</h2><table>{rows}</table>" if counts else ""


def _bounds(check: Check) -> str:
    low, high = check.arguments.get("min_value"), check.arguments.get("max_value")
    pairs = (("at least", low), ("at most", high))
    bounds = [f"{word} {bound:g}" for word, bound in pairs if bound is not None]
    return ", ".join(bounds) or re.sub(r"(?<=[a-z])(?=[A-Z])", " ", check.expectation).lower()


def _observed(result: Any) -> str:
    value = result.result.get("observed_value")
    return f"{value:.6g}" if value is not None else f"{result.result.get('unexpected_count', 0)} unexpected"
