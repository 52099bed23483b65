"""What is promised of each ratio."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound on one ratio of `var/bench.json`."""

    words: str
    bound: float
    at_most: bool = False

    def holds(self, ratio: float) -> bool:
        return ratio <= self.bound if self.at_most else ratio >= self.bound

    def __str__(self) -> str:
        return f"{'≤' if self.at_most else '≥'} {self.bound:g}"


GOALS = {
    "engine_vs_for_update": Goal("durable draws/s in process ÷ the textbook draw", 30),
    "engine_vs_redis_lock": Goal("durable draws/s in process ÷ a draw under a Redis lock", 60),
    "http_vs_echo": Goal("durable draws/s over HTTP ÷ a bare JSON echo", 0.6),
    "gate_vs_redis_benchmark": Goal("the gate alone ÷ redis-benchmark -P 16 with the same script", 1.0),
    "http_p99_over_p50": Goal("p99 ÷ p50 of HTTP draws at half the top rate", 4, at_most=True),
    "growth.prizes": Goal("throughput with 200 prizes ÷ with 2", 0.8),
    "growth.stock": Goal("throughput with a stock of 1,000,000 ÷ of 10", 0.8),
    "growth.players": Goal("throughput with new players ÷ with 1,000 returning", 0.8),
    "growth.ledger": Goal("throughput with a ledger of 5,000,000 rows ÷ empty", 0.8),
    "resync_pause": Goal("pause of a re-sync with a ledger of 5,000,000 rows ÷ of 5,000", 3, at_most=True),
}
