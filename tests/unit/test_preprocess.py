"""The form that items are brought to."""

from __future__ import annotations

import pandas as pd
import pytest

from pipeline.preprocess import choose_form
from pipeline.settings import SIZES, Preprocess


@pytest.mark.parametrize(
    ("side", "size"), [(1, 16), (8, 16), (28, 28), (36, 32), (37, 40), (44, 40), (60, 56), (500, 64)]
)
def test_auto_is_a_size_that_can_be_trained(side: int, size: int) -> None:
    rows = pd.DataFrame({"width": [side, 1, side], "height": [1, side, side], "mode": ["RGB", "RGB", "L"]})
    form = choose_form(Preprocess(), rows)
    assert (form.size, form.mode) == (size, "RGB")
    assert form.size in SIZES
