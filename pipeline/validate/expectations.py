"""Great Expectations, imported without what judging a frame never needs: 1.3 s in place of 2.2.

SQLAlchemy and boto3 are extras that it does without where they are not installed. scipy.stats, which it needs for
tests of distributions alone, loads at its first use.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import LazyLoader, find_spec, module_from_spec

EXTRAS = ("sqlalchemy", "boto3", "botocore")


@contextmanager
def _as_if_not_installed(names: tuple[str, ...]) -> Iterator[None]:
    """Names that are imported already stay as they are."""
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None makes an import fail
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)


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
with _as_if_not_installed(EXTRAS):
    import great_expectations as gx
    from great_expectations import expectations
    from great_expectations.core.run_identifier import RunIdentifier
    from great_expectations.data_context.types.base import ProgressBarsConfig

__all__ = ["ProgressBarsConfig", "RunIdentifier", "expectations", "gx"]
