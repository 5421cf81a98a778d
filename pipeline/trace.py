"""Spans of what is done, sent by OTLP to the collector that OTEL_EXPORTER_OTLP_ENDPOINT names. Where it names none,
nothing is imported.

Of OpenTelemetry's settings all count but the protocol, which is HTTP. The open span's id stands in TRACEPARENT, by
which processes that are started go on with the trace; nothing of MLflow's or Prefect's own tracing is touched. Workers
of pipeline/workers.py send nothing: what they did goes back with their result.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from pipeline.ids import SPAN, ids
from pipeline.log import say, without_secrets

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.trace import Tracer

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
TIMEOUTS = ("OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT")
SILENT = "GENLOOP_TRACES_SILENT"  # set where the collector did not answer, for what is started from then on
TIMEOUT_S = 1.0  # of a request, where no setting says otherwise; a run waits for the last one only
DELAY, DELAY_MS = "OTEL_BSP_SCHEDULE_DELAY", 1000.0  # milliseconds until spans are sent

Tell = Callable[..., None]


@dataclass
class Done:
    """A span of a worker. start, end: nanoseconds since 1970."""

    name: str
    start: int
    end: int = 0
    attributes: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    inside: list[Done] = field(default_factory=list)


_kept: list[Done] | None = None  # in a worker: those that are open, the outermost is the task


def wanted() -> bool:
    off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or SILENT in os.environ
    return not off and any(os.environ.get(name) for name in ENDPOINTS)


@contextmanager
def span(name: str, **attributes: Any) -> Iterator[Tell]:
    """While inside, it is the open one. What is yielded adds attributes to it; so do ids that are known at its end."""
    if _kept is not None:
        with _in_worker(name, attributes) as told:
            yield told.update
        return
    tracer = _tracer() if wanted() else None
    if tracer is None:
        yield lambda **_: None
        return
    opened = tracer.start_span(name, context=_parent(), attributes=_named(attributes))
    before, context = os.environ.get(SPAN), opened.get_span_context()
    os.environ[SPAN] = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
    try:
        yield lambda **more: opened.set_attributes(_named(more))
    except BaseException as error:
        _fail(opened, error)
        raise
    finally:
        opened.set_attributes(_named(ids()))
        opened.end()
        os.environ.pop(SPAN, None)
        if before:
            os.environ[SPAN] = before


def finished(name: str, start: int, end: int, **attributes: Any) -> None:
    """A span that is over already, inside the open one. start, end: nanoseconds since 1970."""
    done = Done(name, start, end, attributes)
    if _kept:
        _kept[-1].inside.append(done)
    elif _kept is None:
        replay([done])


def keep_for_result() -> None:
    """In a worker, before its first task."""
    global _kept
    _kept = []


@contextmanager
def of_task() -> Iterator[list[Done]]:
    """In a worker: the spans of what is done inside, once it is over."""
    if _kept is None:
        yield []
        return
    task = Done("task", time.time_ns())
    _kept[:] = [task]
    try:
        yield task.inside
    finally:
        _kept.clear()


def replay(spans: Sequence[Done]) -> None:
    """Have what a worker did stand inside the open span."""
    if _kept:
        _kept[-1].inside.extend(spans)
    elif spans and wanted() and (tracer := _tracer()):
        _replay(tracer, spans, _parent())


def flush() -> None:
    """Send what is left; to be called at a process's end. A collector that is gone is waited for once, for a second."""
    if wanted() and _provider.cache_info().currsize and (provider := _provider()):
        provider.force_flush(int(TIMEOUT_S * 1000))


@contextmanager
def _in_worker(name: str, attributes: dict[str, Any]) -> Iterator[dict[str, Any]]:
    assert _kept is not None
    done = Done(name, time.time_ns(), attributes=attributes)
    if _kept:
        _kept[-1].inside.append(done)
    _kept.append(done)
    try:
        yield done.attributes
    except BaseException as error:
        done.error = f"{type(error).__name__}: {error}"
        raise
    finally:
        done.end = time.time_ns()
        _kept.pop()


def _replay(tracer: Tracer, spans: Sequence[Done], parent: Context | None) -> None:
    from opentelemetry.trace import Status, StatusCode, set_span_in_context

    for one in spans:
        made = tracer.start_span(one.name, parent, attributes=_named(ids() | one.attributes), start_time=one.start)
        if one.error:
            made.set_status(Status(StatusCode.ERROR, without_secrets(one.error)))
        _replay(tracer, one.inside, set_span_in_context(made))
        made.end(one.end)


def _parent() -> Context | None:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({"traceparent": os.environ.get(SPAN, "")}, _empty())


def _empty() -> Context:
    from opentelemetry.context import Context

    return Context()


def _named(attributes: dict[str, Any]) -> dict[str, Any]:
    plain = (bool, int, float)
    return {
        f"genloop.{name}": told if isinstance(told, plain) else without_secrets(str(told))
        for name, told in attributes.items()
        if told is not None
    }


def _fail(opened: Any, error: BaseException) -> None:
    from opentelemetry.trace import Status, StatusCode

    opened.set_status(Status(StatusCode.ERROR, without_secrets(f"{type(error).__name__}: {error}")))


def _tracer() -> Tracer | None:
    provider = _provider()
    return provider.get_tracer("genloop") if provider else None


@cache
def _provider() -> TracerProvider | None:
    """One of our own: that of the process is for those who work with its libraries."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        say("no traces are sent: `pip install 'genloop[traces]'`", logging.WARNING)
        return None
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # what is to be said, we say
    exporter = OTLPSpanExporter(timeout=None if any(map(os.environ.get, TIMEOUTS)) else TIMEOUT_S)
    delay = None if os.environ.get(DELAY) else DELAY_MS
    provider = TracerProvider(resource=Resource.create(_service()), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(_until_it_fails(exporter), schedule_delay_millis=delay))
    return provider


def _service() -> dict[str, str]:
    workspace = os.environ.get("GENLOOP_DEPLOYMENT") or os.environ.get("GENLOOP_WORKSPACE", "")
    return {"service.name": os.environ.get("OTEL_SERVICE_NAME") or "genloop", "genloop.workspace": workspace}


def _until_it_fails(exporter: Any) -> Any:
    """The exporter, but once it failed this process and those that it starts send no more: nobody is to wait again."""
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    class UntilItFails(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            if SILENT in os.environ:
                return SpanExportResult.FAILURE
            result: SpanExportResult = exporter.export(spans)
            if result is not SpanExportResult.SUCCESS and SILENT not in os.environ:
                os.environ[SILENT] = "1"
                say("the traces' collector does not answer: no more spans are sent", logging.WARNING)
            return result

        def shutdown(self) -> None:
            exporter.shutdown()

    return UntilItFails()
