"""Functions of the user's own, named `module:function`."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from typing import Any

from pipeline.errors import ParamsError

NAME = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def load_function(name: str, where: str) -> Callable[..., Any]:
    """Import it. `where`: the setting, for the error. Raises ParamsError.

    What an import says of itself is not repeated, since it may hold a secret; its kind is.
    """
    if not NAME.fullmatch(name):
        raise ParamsError(f"{name!r} is not module:function", where=where, remedy="for example company.kms:signer")
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function, None)
    except Exception as error:  # a user's module can raise anything
        raise ParamsError(
            f"{module} can't be imported: {type(error).__name__}",
            where=where,
            remedy=f'`python -c "import {module}"` shows why',
        ) from None
    if not callable(found):
        raise ParamsError(f"{module} has no function {function}", where=where, remedy="mend the name")
    function_: Callable[..., Any] = found
    return function_
