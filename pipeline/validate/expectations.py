"""Great Expectations, imported without what judging a frame never needs: 1.1 s in place of 2.2.

SQLAlchemy, boto3 and Google's are extras that it does without where they are not installed. Altair it needs for charts
of distributions alone, which are none of ours. scipy.stats, which it needs for tests of distributions, loads at its
first use.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import LazyLoader, find_spec, module_from_spec
from types import ModuleType

EXTRAS = ("sqlalchemy", "boto3", "botocore", "google")
UNUSED = ("altair",)


@contextmanager
def _without(extras: tuple[str, ...], unused: tuple[str, ...]) -> Iterator[None]:
    """extras are as if not installed, unused ones are empty; what is imported already stays as it is.

    Nor is garbage looked for: an import leaves little, and makes much that is looked through again and again.
    """
    hidden = dict.fromkeys(extras) | {name: ModuleType(name) for name in unused}  # None makes an import fail
    hidden = {name: module for name, module in hidden.items() if name not in sys.modules}
    sys.modules.update(hidden)  # type: ignore[arg-type]
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)
        if collecting:
            gc.enable()


def _lazily(name: str) -> None:
    """Have a module run its code when it is first looked into."""
    spec = find_spec(name)
    if name in sys.modules or spec is None or spec.loader is None:
        return
    spec.loader = LazyLoader(spec.loader)
    sys.modules[name] = module = module_from_spec(spec)
    spec.loader.exec_module(module)
    parent, _, child = name.rpartition(".")
    setattr(sys.modules[parent], child, module)


os.environ["GX_ANALYTICS_ENABLED"] = "false"
_lazily("scipy.stats")
with _without(EXTRAS, UNUSED):
    import great_expectations as gx
    from great_expectations import expectations
    from great_expectations.core.run_identifier import RunIdentifier
    from great_expectations.data_context.types.base import ProgressBarsConfig

__all__ = ["ProgressBarsConfig", "RunIdentifier", "expectations", "gx"]
