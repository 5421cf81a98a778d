"""What happens: where GENLOOP_LOG is `json`, a line of JSON each on stderr, with the ids of what it is about.

Else what people see is what it always was: nothing here but what is said to them. No secret of the environment, and
nothing that signs a request, is in a line.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import sys
from datetime import UTC, datetime
from functools import cache
from types import TracebackType
from typing import Any, TextIO

from pipeline.ids import SPAN, ids

NAME = "genloop"
LEAST = 6  # characters that a secret has; shorter ones would hide half a line
_SECRET = re.compile(r"(?i)secret|token|passw|auth|_key\b|_key_id\b|notify|database_url|feedback_url")
_SIGNED = re.compile(r"(?i)\b(x-amz-[\w-]+|signature|sig|token|password|secret)=[^&\s\"']+")
_LOGIN = re.compile(r"://[^/\s:@]*:[^/\s@]+@")
_PEM = re.compile(r"-----BEGIN [^-]+-----.*?(?:-----END [^-]+-----|$)", re.DOTALL)


def in_json() -> bool:
    return os.environ.get("GENLOOP_LOG") == "json"


def log(event: str, level: int = logging.INFO, **facts: Any) -> None:
    """For programs alone. facts: what JSON can hold; names that the record has already are not theirs."""
    if in_json():
        _logger().log(level, "%s", event, extra={"facts": facts})


def say(line: str, level: int = logging.INFO, out: TextIO | None = None, **facts: Any) -> None:
    """For people: as it stands, on stderr or `out`; or as JSON, on stderr."""
    if in_json():
        log(line, level, **facts)
    else:
        print(line, file=out or sys.stderr, flush=True)


def set_up() -> None:
    """Have warnings of libraries, and what nobody catches, be JSON too; nothing else is said on stderr then. What
    Prefect says of its runs is in Prefect."""
    if not in_json():
        return
    _logger()
    root, others = logging.getLogger(), _lines()
    others.setLevel(logging.WARNING)
    others.addFilter(lambda record: record.levelno >= logging.CRITICAL or not record.name.startswith("prefect"))
    root.addHandler(others)
    logging.captureWarnings(True)
    sys.excepthook = _uncaught


@cache
def _handler() -> logging.Handler:
    return _lines()


def _lines() -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    return handler


def _logger() -> logging.Logger:
    """A library that sets logging up anew may have switched it off."""
    logger = logging.getLogger(NAME)
    if _handler() not in logger.handlers:
        logger.addHandler(_handler())
        logger.setLevel(logging.INFO)
        logger.propagate = False
    logger.disabled = False
    return logger


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    _logger().critical("%s: %s", kind.__name__, error, exc_info=(kind, error, trace))


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **ids(),
            "workspace": os.environ.get("GENLOOP_DEPLOYMENT") or os.environ.get("GENLOOP_WORKSPACE", ""),
            "logger": record.name,
            "pid": record.process,
        }
        if span := os.environ.get(SPAN, "").split("-")[1:3]:
            told |= dict(zip(("trace_id", "span_id"), span, strict=False))
        facts: dict[str, Any] = getattr(record, "facts", {})
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        told |= {name: fact for name, fact in facts.items() if name not in told}
        return json.dumps(_safe(told))  # in ASCII: some readers take more signs for the end of a line than JSON does


def _safe(told: Any) -> Any:
    """The same without secrets."""
    if isinstance(told, dict):
        return {str(name): _safe(value) for name, value in told.items()}
    if isinstance(told, list | tuple):
        return [_safe(value) for value in told]
    plain = told is None or isinstance(told, int) or (isinstance(told, float) and math.isfinite(told))
    return told if plain else without_secrets(str(told))


def without_secrets(text: str) -> str:
    values = {word for name, value in os.environ.items() if _SECRET.search(name) for word in (value, *value.split())}
    for value in sorted(values, key=len, reverse=True):
        if len(value) >= LEAST:
            text = text.replace(value, "…")
    return _PEM.sub("…", _LOGIN.sub("://…@", _SIGNED.sub(r"\1=…", text)))
