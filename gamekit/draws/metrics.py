"""What the draw counts and times, for /metrics."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

DRAWS = Counter("gamekit_draws_total", "Draws committed.", ["outcome", "reason"])
_drawn: dict[tuple[str, str], Counter] = {}


def count_draw(outcome: str, reason: str) -> None:
    """Counts one committed draw."""
    child = _drawn.get((outcome, reason))
    if child is None:
        # Finding a labelled child costs more than counting with it.
        child = _drawn[outcome, reason] = DRAWS.labels(outcome, reason)
    child.inc()


REFUSALS = Counter("gamekit_refusals_total", "Draw requests refused.", ["code"])
LATENCY = Histogram(
    "gamekit_draw_seconds",
    "From a draw's call to its answer.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
BATCH_SIZE = Histogram("gamekit_batch_calls", "Calls in a batch.", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512))
RESYNCS = Counter("gamekit_resyncs_total", "Times the gate was rebuilt from the ledger.")
VOIDS = Counter("gamekit_voids_total", "Reservations resolved after a fault.", ["found"])
PENDING = Gauge("gamekit_pending_reservations", "Reservations undecided when last looked.", ["run"])
