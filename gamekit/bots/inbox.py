"""The inbox: webhook events are stored first and worked off after, so that a webhook is answered at once.

An event that was accepted is never lost: it stays until it is handled, survives a killed process by its lease, and is
tried again, later each time. One that fails too often is kept, with its failure.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from gamekit.bots import repository
from gamekit.bots.cards import card, guess_locale
from gamekit.bots.events import Inbound, TextSent, inbound_from_json
from gamekit.bots.metrics import BotMetrics
from gamekit.bots.repository import Taken, Visit
from gamekit.bots.triggers import CampaignBook, campaign_for
from gamekit.clock import Clock
from gamekit.deliveries.message import message_to_json
from gamekit.deliveries.pump import Pump, keep_recording

WINDOW = timedelta(hours=24)
"""Messenger's standard messaging window (Messenger Platform, send-messages, 2026-05-05)."""

PlayLink = Callable[[str, str, str], tuple[str, datetime]]
"""(slug, channel, external id) -> the player's own link, and when it ends."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class InboxPolicy:
    """How patient an inbox is."""

    concurrency: int = 8
    poll_seconds: float = 0.5
    work_seconds: float = 8.0
    lease_seconds: float = 12.0
    """After this long an event is taken again; longer than the work may take."""
    attempts: int = 10
    first_delay: float = 1.0
    longest_delay: float = 300.0


class Inbox:
    """Stores events and works them off: notes the player's visit, and answers a trigger with a card."""

    def __init__(
        self,
        engine: AsyncEngine,
        book: CampaignBook,
        play_link: PlayLink,
        *,
        clock: Clock,
        metrics: BotMetrics,
        on_owed: Callable[[], None],
        policy: InboxPolicy = InboxPolicy(),
    ) -> None:
        self._engine = engine
        self._book = book
        self._play_link = play_link
        self._clock = clock
        self._metrics = metrics
        self._on_owed = on_owed
        self._policy = policy
        self._pump = Pump("inbox", self._round, concurrency=policy.concurrency, poll_seconds=policy.poll_seconds)

    async def accept(self, events: Sequence[Inbound]) -> int:
        """Store what is new, and have it worked off; how many events were new. Once it returns, none is lost."""
        new = await repository.store(self._engine, events, self._clock.now())
        if new:
            self._pump.notify()
        return new

    def start(self) -> None:
        """Begin to work events off. Needs the running event loop; `accept` works without."""
        self._pump.start()

    async def stop(self, grace_seconds: float = 10.0) -> None:
        """Take nothing more, and let the work under way end; what does not is taken again after its lease."""
        await self._pump.stop(grace_seconds)

    async def oldest_seconds(self) -> float:
        """How long ago the oldest event still waiting came in."""
        return await repository.oldest_seconds(self._engine, self._clock.now())

    async def _round(self, free: int) -> int:
        now = self._clock.now()
        lease_ends = now + timedelta(seconds=self._policy.lease_seconds)
        taken = await repository.claim(self._engine, now=now, lease_ends=lease_ends, limit=free)
        for one in taken:
            self._pump.spawn(self._handle(one), f"event {one.id}")
        return len(taken)

    async def _handle(self, taken: Taken) -> None:
        if taken.attempts > self._policy.attempts:
            await self._give_up(taken, f"It was taken {self._policy.attempts} times and never finished.")
            return
        try:
            event = inbound_from_json(taken.event, channel=taken.channel, dedupe_key=taken.dedupe_key)
        except (LookupError, TypeError, ValueError) as error:
            _log.error("event_unreadable", inbound=taken.id, exc_info=error)
            await self._give_up(taken, f"It cannot be read ({type(error).__name__}).")
            return
        try:
            async with asyncio.timeout(self._policy.work_seconds):
                reply = await self._reply(event)
                visit = Visit(event.channel, event.sender, event.at + WINDOW) if event.is_chat else None
                now = self._clock.now()
                finished = await repository.finish(self._engine, taken, now=now, visit=visit, reply=reply)
        except Exception as error:  # noqa: BLE001 - whatever it was, the event is kept and tried again
            _log.warning("event_failed", inbound=taken.id, attempts=taken.attempts, exc_info=error)
            await self._again(taken, f"{type(error).__name__} at attempt {taken.attempts}.")
            return
        if finished:
            self._metrics.handled.labels("replied" if reply else "noted").inc()
            if reply:
                self._on_owed()

    async def _reply(self, event: Inbound) -> dict[str, Any] | None:
        """The body of the delivery that answers `event`, where it asks for a campaign that is live."""
        if not event.is_chat:
            return None
        campaign = campaign_for(event, await self._book.live_campaigns())
        if campaign is None:
            return None
        url, _ = self._play_link(campaign.slug, event.channel, event.sender)
        said = event.what.text if isinstance(event.what, TextSent) else ""
        locale = guess_locale(said, campaign.document)
        return {"message": message_to_json(card(campaign.document, url=url, locale=locale))}

    async def _again(self, taken: Taken, failure: str) -> None:
        if taken.attempts >= self._policy.attempts:
            await self._give_up(taken, failure)
            return
        seconds = min(self._policy.first_delay * 2 ** (taken.attempts - 1), self._policy.longest_delay)
        until = self._clock.now() + timedelta(seconds=seconds)
        await keep_recording(lambda: repository.postpone(self._engine, taken, until=until, failure=failure))
        self._metrics.handled.labels("again").inc()

    async def _give_up(self, taken: Taken, failure: str) -> None:
        now = self._clock.now()
        if await keep_recording(lambda: repository.finish(self._engine, taken, now=now, failure=failure)):
            self._metrics.handled.labels("failed").inc()
