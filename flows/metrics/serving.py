"""The figures of a workspace for Prometheus: printed once, or served at /metrics until it is stopped."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterable
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, generate_latest, make_wsgi_app
from prometheus_client.core import InfoMetricFamily, Metric

from flows.metrics.champion import Champion
from flows.metrics.collector import Source, Sources
from flows.metrics.machine import Disk, Gpus
from flows.metrics.queue import Queue
from flows.metrics.reviews import Reviews
from flows.metrics.runs import Runs
from flows.metrics.work import Batches, Dataset, Stages, Training
from flows.names import name_of
from pipeline.errors import GenloopError
from pipeline.log import say
from pipeline.settings import Params

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

PATIENCE_S = 10  # with a client that says nothing


def sources(workspace: Path, params: Params) -> dict[str, Source]:
    return {
        "workspace": lambda: [_info(workspace)],
        "runs": Runs(workspace),
        "dataset": Dataset(workspace),
        "stages": Stages(workspace),
        "training": Training(workspace),
        "champion": Champion(workspace),
        "batches": Batches(workspace),
        "reviews": Reviews(workspace, params.review.opinions),
        "queue": Queue(workspace),
        "disk": Disk(workspace),
        "gpus": Gpus(),
    }


def registry_of(workspace: Path, params: Params) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(Sources(sources(workspace, params), lambda line: say(line, logging.WARNING)))
    return registry


def told_once(workspace: Path, params: Params) -> str:
    return generate_latest(registry_of(workspace, params)).decode()


def serve(workspace: Path, params: Params, host: str, port: int) -> None:
    """Until it is told to stop. Raises GenloopError where it can't listen."""
    metrics = make_wsgi_app(registry_of(workspace, params))

    def app(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        if environ.get("PATH_INFO") == "/metrics":
            return list(metrics(environ, start))
        well = environ.get("PATH_INFO") == "/healthz"
        start("200 OK" if well else "404 Not Found", [("Content-Type", "text/plain")])
        return [b"well\n" if well else b"there is /metrics\n"]

    class Server(ThreadingMixIn, WSGIServer):
        daemon_threads = True
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

    try:
        server = make_server(host, port, app, Server, _Quiet)
    except OSError as error:
        what = f"can't listen: {error.strerror or error}"
        raise GenloopError(what, where=f"{host}:{port}", remedy="choose another --port") from None
    with server:
        server.serve_forever()


def _info(workspace: Path) -> Metric:
    from importlib.metadata import version

    told = InfoMetricFamily("genloop_workspace", "Which workspace, and which version of genloop.")
    told.add_metric((), {"deployment": name_of(workspace), "version": version("genloop")})
    return told


class _Quiet(WSGIRequestHandler):
    timeout = PATIENCE_S

    def log_message(self, *_: object) -> None: ...
