"""Counters of the outbox, made once by whoever starts a process and handed to the relay."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge


class DeliveryMetrics:
    """What the relay counts, in `registry`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.ended = Counter(
            "gamekit_deliveries_ended", "Deliveries by final state", ["channel", "kind", "state"], registry=registry
        )
        self.retried = Counter(
            "gamekit_deliveries_retried", "Attempts to be repeated", ["channel", "kind"], registry=registry
        )
        self.token_refused = Counter(
            "gamekit_channel_token_refused", "Attempts refused for the access token", ["channel"], registry=registry
        )
        self.oldest = Gauge(
            "gamekit_outbox_oldest_seconds", "How long ago the oldest undelivered row was made", registry=registry
        )
