"""Counts and times of HTTP requests, and the page that Prometheus reads.

Counting is by route (`/api/v1/players/{channel}/{id}`), never by address, so that no player's id gets into a metric or
the log. With several workers each process counts for itself: give `exposition()` the folder that prometheus_client's
multi-process mode shares (the variable PROMETHEUS_MULTIPROC_DIR, set before the workers start), and whichever worker is
asked answers for all of them.
"""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


REQUESTS = Counter("gamekit_http_requests_total", "Requests answered.", ["method", "route", "status"])
SECONDS = Histogram("gamekit_http_seconds", "Time to the whole answer.", ["method", "route"], buckets=BUCKETS)

_children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}


def count(method: str, route: str, status: int, seconds: float) -> None:
    """Counts one request."""
    children = _children.get((method, route, status))
    if children is None:
        # Finding a labelled child costs more than counting with it.
        children = _children[method, route, status] = (
            REQUESTS.labels(method, route, str(status)),
            SECONDS.labels(method, route),
        )
    children[0].inc()
    children[1].observe(seconds)


def exposition(*, shared: Path | None = None) -> Route:
    """`/metrics`. `shared` is the folder of prometheus_client's multi-process mode, where several workers count."""

    async def metrics(_: Request) -> Response:
        source: CollectorRegistry = REGISTRY
        if shared is not None:
            source = CollectorRegistry()
            MultiProcessCollector(source, path=str(shared))  # type: ignore[no-untyped-call]
        return Response(
            generate_latest(source), headers={"content-type": CONTENT_TYPE_LATEST, "cache-control": "no-store"}
        )

    return Route("/metrics", metrics)
