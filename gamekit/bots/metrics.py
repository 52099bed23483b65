"""Counters of webhooks and the inbox, made once by whoever starts a process."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge


class BotMetrics:
    """What webhooks and the inbox count, in `registry`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.received = Counter(
            "gamekit_inbound_events", "Webhook events stored, by kind", ["platform", "kind"], registry=registry
        )
        self.duplicates = Counter(
            "gamekit_inbound_duplicates", "Webhook events that were stored before", ["platform"], registry=registry
        )
        self.ignored = Counter(
            "gamekit_inbound_ignored", "Webhook events passed over", ["platform", "reason"], registry=registry
        )
        self.refused = Counter(
            "gamekit_webhooks_refused", "Webhook calls refused, by reason", ["platform", "reason"], registry=registry
        )
        self.handled = Counter(
            "gamekit_inbox_handled", "Stored events worked off, by outcome", ["outcome"], registry=registry
        )
        self.waiting = Gauge(
            "gamekit_inbox_oldest_seconds", "How long ago the oldest unhandled event came in", registry=registry
        )
