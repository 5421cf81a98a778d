"""What a batch tells of itself: README.md, which Hugging Face reads as a dataset card, and index.html."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from pipeline.generate.gallery import PAGES
from pipeline.generate.order import wanted
from pipeline.generate.receipt import Receipt
from pipeline.generate.release import Release
from pipeline.page import rendered

SHOWN = 20
MEASURES = ("nfd", "precision", "recall", "coverage", "memorised", "label_accuracy", "tstr")
DATA = {"parquet": "data/*.parquet", "files": "images/**", "webdataset": "data/*.tar"}


def card(told: Release, receipts: Sequence[Receipt], test_signer: bool) -> str:
    order, batch = told.order, told.batch
    head = {
        "license": order.asked.licence or "other",
        "tags": ["synthetic", "genloop"],
        "configs": [{"config_name": "default", "data_files": DATA[order.asked.layout]}],
    }
    lines = [f"{name}: {json.dumps(value)}" for name, value in head.items()]
    rows = [f"| {name} | {in_a_cell(value)} |" for name, value in facts(told)]
    dropped = [f"| {in_a_cell(why)} | {count:,} |" for why, count in dropped_of(receipts)]
    signer = " They are signed with a test certificate, which nobody else trusts." if test_signer else ""
    return "\n".join(
        [
            *("---", *lines, "---"),
            f"# {in_a_cell(order.name)}: {batch.items:,} generated images",
            "",
            "Every image here was made by a model (AI-generated; IPTC digital source type `trainedAlgorithmicMedia`)",
            f"and carries signed Content Credentials (C2PA) that say so.{signer} `genloop verify` checks them.",
            "",
            *("| | |", "|---|---|", *rows, ""),
            *(["Made, and not delivered:", "", "| why | images |", "|---|---|", *dropped, ""] if dropped else []),
            "`items/` tells of each image what it was made from; `record.json` is signed and has all hashes.",
            "",
        ]
    )


def index_page(told: Release, receipts: Sequence[Receipt], test_signer: bool) -> str:
    """Where the batch is withdrawn no picture is shown or linked."""
    order, withdrawn = told.order, next((one.why for one in told.withdrawn if not one.item), "")
    shown = [] if withdrawn else receipts
    pages = [w.name for receipt in shown for w in receipt.named("gallery") if w.name.endswith(".html")]
    previews = [w.name for receipt in shown for w in receipt.named("gallery") if "/preview-" in w.name]
    made, names = counts_of(receipts), order.classes or ("",)
    return rendered(
        PAGES,
        "index.html",
        title=f"{order.name} · {told.batch.id}",
        batch=told.batch,
        facts=facts(told),
        classes=[(names[label], made.get(names[label], 0), count) for label, count in wanted(order).items()],
        dropped=dropped_of(receipts),
        pages=pages,
        preview=previews[0] if previews else "",
        test_signer=test_signer,
        withdrawn=withdrawn,
    )


def facts(told: Release) -> list[tuple[str, str]]:
    order, batch, card_ = told.order, told.batch, told.provenance.scorecard
    quality = ", ".join(f"{name} {card_.metrics[name]:.3g}" for name in MEASURES if name in card_.metrics)
    found = {
        "batch": f"{batch.id}, order {order.name}" + (f", {order.period}" if order.period else ""),
        "images": f"{batch.items:,} of {order.asked.count:,} asked for",
        "model": f"{order.model} v{order.version}, weights {order.bundle}",
        "trained on": f"snapshot {order.snapshot}",
        "quality of the model": f"{quality}, on {card_.samples:,} samples in {card_.space}",
        "licence": order.asked.licence or "not stated",
        "contact": order.asked.contact or "not stated",
    }
    if gone := [one for one in told.withdrawn if one.item]:
        found["withdrawn"] = "; ".join(f"{one.item} ({one.why})" for one in gone[:SHOWN])
    return list(found.items())


def dropped_of(receipts: Sequence[Receipt]) -> list[tuple[str, int]]:
    """Reasons with how many candidates went by each, most first."""
    return _summed(receipt.dropped for receipt in receipts).most_common()


def counts_of(receipts: Sequence[Receipt]) -> Counter[str]:
    """Items by class."""
    return _summed(receipt.classes for receipt in receipts)


def _summed(counts: Any) -> Counter[str]:
    total = Counter[str]()
    for some in counts:
        total.update(some)
    return total


def in_a_cell(text: str) -> str:
    """Of a table in Markdown. In one line, without what would be Markdown's or HTML's own."""
    plain = " ".join(text.split())
    return "".join(f"&#{ord(c)};" if c in "<>&|`[]*_" else c for c in plain)
