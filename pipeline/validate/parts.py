"""Accepted items summed up, a row a part: what Great Expectations judges in place of every single one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.facts import Facts
from pipeline.validate.items import alike

if TYPE_CHECKING:
    import pandas as pd

MODES = {"1", "L", "LA", "La", "P", "PA", "I", "I;16", "I;16L", "I;16B", "F"}
MODES |= {"RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "LAB", "HSV"}


def summed_up(facts: Facts, good: NDArray[np.bool_]) -> pd.DataFrame:
    """good: bool [N], the accepted items.

    Sides, contrast and modes are those of items that no person accepted; null where a part has none.
    """
    import pandas as pd

    part, judged = facts.part, good & ~facts.accepted
    copies = np.zeros(len(facts), bool)
    copies[alike(facts, good)[0]] = True
    counted = {
        "items": good,
        "unknown_modes": judged & ~facts.mode.among(MODES),
        "copies": copies,
        "problems": good & facts.problem.known,
        "unlabelled": good & ~facts.label.known,
    }
    smaller, larger = np.minimum(facts.width, facts.height), np.maximum(facts.width, facts.height)
    extremes = {
        "smallest_side": _of_each(np.minimum, smaller, part, judged, len(facts.parts)),
        "largest_side": _of_each(np.maximum, larger, part, judged, len(facts.parts)),
        "lowest_contrast": _of_each(np.minimum, facts.contrast, part, judged, len(facts.parts)),
    }
    counts = {name: np.bincount(part[rows], minlength=len(facts.parts)) for name, rows in counted.items()}
    return pd.DataFrame({"part": facts.parts, **counts, **extremes})


def _of_each(
    extreme: np.ufunc, values: NDArray[np.number], part: NDArray[np.int32], rows: NDArray[np.bool_], parts: int
) -> NDArray[np.float64]:
    """float64 [parts]: of the values in these rows; NaN where a part has none of them."""
    counts = np.bincount(part[rows], minlength=parts)
    some, found = counts > 0, np.full(parts, np.nan)
    if some.any():
        found[some] = extreme.reduceat(values[rows], (np.cumsum(counts) - counts)[some])
    return found
