"""Why an item is rejected: pure rules over the manifest, whole columns at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.settings import Validate

if TYPE_CHECKING:
    import pandas as pd

DUPLICATE = "duplicate of "
CONFLICT = "same image under several labels"


def reasons(manifest: pd.DataFrame, settings: Validate) -> pd.Series[Any]:
    """One reason a row, or None where the item is accepted. An item has the first reason that holds.

    One that a person accepted may be small, large or blank; it still has to be an image, to have a label where others
    have, and to be no copy.
    """
    problem = manifest["problem"].astype(object)
    found = problem.where(problem.notna(), None)
    _reject_sizes(found, manifest, settings)
    _reject_blank(found, manifest, settings)
    found[manifest["accepted"] & manifest["problem"].isna()] = None
    if manifest["label"].notna().any():
        found[found.isna() & manifest["label"].isna()] = "no label"
    _reject_conflicts(found, manifest)
    _reject_duplicates(found, manifest)
    return found


def kind(reason: str) -> str:
    """The reason without its particulars: what reports count by."""
    return "duplicate" if reason.startswith(DUPLICATE) else reason.partition(":")[0].strip()


def _reject_sizes(found: pd.Series[Any], manifest: pd.DataFrame, settings: Validate) -> None:
    sides = manifest[["width", "height"]]
    small = found.isna() & (sides.min(axis=1) < settings.min_side)
    large = found.isna() & ~small & (sides.max(axis=1) > settings.max_side)
    for rows, text in (
        (sides[small], f"too small: {{:.0f}}x{{:.0f}} pixels, min_side is {settings.min_side}"),
        (sides[large], f"too large: {{:.0f}}x{{:.0f}} pixels, max_side is {settings.max_side}"),
    ):
        found[rows.index] = [text.format(w, h) for w, h in zip(rows["width"], rows["height"], strict=True)]


def _reject_blank(found: pd.Series[Any], manifest: pd.DataFrame, settings: Validate) -> None:
    contrast = manifest["contrast"][found.isna() & (manifest["contrast"] < settings.min_contrast)]
    found[contrast.index] = [f"blank: contrast {c:.2f}, min_contrast is {settings.min_contrast:g}" for c in contrast]


def _reject_conflicts(found: pd.Series[Any], manifest: pd.DataFrame) -> None:
    """Every copy of an image that stands under more than one label: none of them can be trusted."""
    copies = manifest.loc[found.isna() & manifest["label"].notna(), ["sha256", "label"]]
    distinct = copies.drop_duplicates()
    torn = distinct[distinct["sha256"].duplicated(keep=False)]
    labels = torn.sort_values("label").groupby("sha256")["label"].agg(", ".join)
    rows = copies[copies["sha256"].isin(labels.index)]
    found[rows.index] = [f"{CONFLICT}: {labels[sha256]}" for sha256 in rows["sha256"]]


def _reject_duplicates(found: pd.Series[Any], manifest: pd.DataFrame) -> None:
    """All copies but one: a holdout copy if there is one, then the first by path."""
    open_rows = manifest.loc[found.isna(), ["split", "sha256", "path"]]
    copies = open_rows[open_rows["sha256"].duplicated(keep=False)]
    copies = copies.assign(train=copies["split"] != "holdout").sort_values(["train", "sha256", "path"])
    kept = copies.drop_duplicates("sha256").set_index("sha256")["path"]
    rest = copies[copies["sha256"].duplicated()]
    found[rest.index] = [f"{DUPLICATE}{kept[sha256]}" for sha256 in rest["sha256"]]
