"""The relay: takes what is owed from the outbox to the platforms.

Any number of relays may work on one database. Each delivery ends in a final state. A message goes out at most once
wherever that can be known: what may have been accepted without an answer ends as `unknown` and is not sent again; what
surely was not accepted is tried again, later each time. Putting on a tag is safe to repeat, so that is tried again too.

The relay does not judge messaging windows: only the platform knows them (an advertisement opens a longer one).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from gamekit.channels.service import Channels, ConnectedChannel
from gamekit.clock import Clock
from gamekit.deliveries.adapter import Adapter, SendResult, Verdict
from gamekit.deliveries.message import Message, TagAction, message_from_json
from gamekit.deliveries.metrics import DeliveryMetrics
from gamekit.deliveries.models import DeliveryKind, DeliveryState
from gamekit.deliveries.pump import AWAY, Pump, keep_recording
from gamekit.deliveries.repository import Outbox, Owed
from gamekit.entropy import Entropy
from gamekit.errors import InvalidInput, Problem

Composer = Callable[[Owed], Awaitable[Message | TagAction]]
"""Turns what is owed into what is said. `InvalidInput`, LookupError, TypeError or ValueError: it never can be."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RelayPolicy:
    """How patient a relay is."""

    concurrency: int = 32
    poll_seconds: float = 0.5
    """How long an idle relay waits before it looks for rows of other processes."""
    attempt_seconds: float = 20.0
    lease_seconds: float = 40.0
    """After this long without a record an attempt is given up; longer than any attempt takes."""
    attempts: int = 20
    first_delay: float = 0.5
    longest_delay: float = 600.0
    lifetime: timedelta = timedelta(hours=24)
    """After this long nothing is sent any more: the messaging window a draw came in is closed."""


def compose_plain(owed: Owed) -> Message | TagAction | None:
    """What is owed, where the body says it in full; None where it names a draw. Raises `InvalidInput`."""
    if owed.kind is DeliveryKind.TAG:
        tag = owed.body.get("tag")
        if not isinstance(tag, str) or not tag.strip():
            raise InvalidInput(problems=(Problem("tag", "must be a tag's name"),))
        return TagAction(tag)
    return message_from_json(owed.body["message"]) if "message" in owed.body else None


class Relay:
    """Delivers until stopped. `start` and `stop` once each."""

    def __init__(
        self,
        outbox: Outbox,
        channels: Channels,
        adapters: Mapping[str, Adapter],
        compose: Composer,
        *,
        clock: Clock,
        entropy: Entropy,
        metrics: DeliveryMetrics,
        policy: RelayPolicy = RelayPolicy(),
    ) -> None:
        self._outbox = outbox
        self._channels = channels
        self._adapters = adapters
        self._compose = compose
        self._clock = clock
        self._entropy = entropy
        self._metrics = metrics
        self._policy = policy
        self._rests: dict[str, datetime] = {}
        self._strikes: dict[str, int] = {}
        self._pump = Pump("relay", self._round, concurrency=policy.concurrency, poll_seconds=policy.poll_seconds)

    def notify(self) -> None:
        """Tell the relay, from its own event loop, that something is owed."""
        self._pump.notify()

    def start(self) -> None:
        """Begin. Needs the running event loop."""
        self._pump.start()

    async def stop(self, grace_seconds: float = 10.0) -> None:
        """Take nothing more, and let attempts under way end; those that do not are given up by their lease."""
        await self._pump.stop(grace_seconds)

    async def _round(self, free: int) -> int:
        now = self._clock.now()
        for channel in await self._outbox.give_up_lapsed(now):
            self._metrics.ended.labels(channel, DeliveryKind.MESSAGE, DeliveryState.UNKNOWN).inc()
        self._rests = {channel: until for channel, until in self._rests.items() if until > now}
        lease_ends = now + timedelta(seconds=self._policy.lease_seconds)
        owed = await self._outbox.claim(now=now, lease_ends=lease_ends, limit=free, resting=self._rests)
        for one in owed:
            self._pump.spawn(self._deliver(one), f"delivery {one.id}")
        return len(owed)

    async def _deliver(self, owed: Owed) -> None:
        if self._clock.now() - owed.created_at > self._policy.lifetime:
            hours = round(self._policy.lifetime.total_seconds() / 3600)
            await self._finish(owed, DeliveryState.EXPIRED, f"It was not sent within {hours} hours.")
            return
        if owed.attempts > self._policy.attempts:
            await self._finish(owed, DeliveryState.EXPIRED, f"Gave up after {self._policy.attempts} attempts.")
            return
        result = await self._attempt(owed)
        self._note(owed, result)
        again = result.verdict is Verdict.RETRY or (result.verdict is Verdict.UNKNOWN and owed.kind is DeliveryKind.TAG)
        if not again:
            await self._finish(owed, DeliveryState(result.verdict.value), result.reason, result.platform_id)
        elif result.counts and owed.attempts >= self._policy.attempts:
            await self._finish(owed, DeliveryState.EXPIRED, f"Gave up after {owed.attempts} attempts: {result.reason}")
        else:
            self._metrics.retried.labels(owed.channel, owed.kind).inc()
            until = max(self._clock.now() + self._delay(owed.attempts), self._rests.get(owed.channel, owed.created_at))
            await keep_recording(
                lambda: self._outbox.postpone(owed, until=until, reason=result.reason, counts=result.counts)
            )

    async def _attempt(self, owed: Owed) -> SendResult:
        """One try, whose every failure is a result."""
        try:
            channel = await self._channels.find(owed.channel)
            adapter = self._adapters.get(channel.platform) if channel else None
            if channel is None or adapter is None:
                return SendResult(Verdict.REJECTED, "No such channel is connected.")
            if owed.recipient is None:
                return SendResult(Verdict.REJECTED, "The player was erased.")
            said = await self._compose(owed)
        except AWAY as error:
            return SendResult(Verdict.RETRY, f"SQL was away ({type(error).__name__}).", counts=False)
        except (InvalidInput, LookupError, TypeError, ValueError) as error:
            _log.error("delivery_cannot_be_composed", delivery=owed.id, exc_info=error)
            return SendResult(Verdict.REJECTED, f"It cannot be composed: {_explain(error)}")
        except Exception as error:  # noqa: BLE001 - the composer is handed in; its bugs must not cost a delivery
            _log.error("composer_failed", delivery=owed.id, exc_info=error)
            return SendResult(Verdict.RETRY, f"Composing it failed ({type(error).__name__}).")
        if self._rests.get(owed.channel, owed.created_at) > self._clock.now():
            return SendResult(Verdict.RETRY, "The channel rests.", counts=False)
        return await self._send(adapter, channel, owed.recipient, said, owed)

    async def _send(
        self, adapter: Adapter, channel: ConnectedChannel, recipient: str, said: Message | TagAction, owed: Owed
    ) -> SendResult:
        try:
            async with asyncio.timeout(self._policy.attempt_seconds):
                if isinstance(said, TagAction):
                    return await adapter.tag(channel, recipient, said.tag)
                return await adapter.send(channel, recipient, said)
        except TimeoutError:
            return SendResult(Verdict.UNKNOWN, "The platform did not answer in time; it may have been sent.")
        except Exception as error:  # noqa: BLE001 - a faulty adapter: nobody knows how far it came
            _log.error("adapter_failed", delivery=owed.id, exc_info=error)
            return SendResult(Verdict.UNKNOWN, f"The adapter failed ({type(error).__name__}); it may have been sent.")

    def _note(self, owed: Owed, result: SendResult) -> None:
        """Rest the whole channel where the platform asks for it: twice as long each time in a row."""
        if result.token_refused:
            self._metrics.token_refused.labels(owed.channel).inc()
            _log.error("channel_token_refused", channel=owed.channel, reason=result.reason)
        now = self._clock.now()
        if result.verdict is Verdict.SENT:
            self._strikes.pop(owed.channel, None)
        elif result.hold_seconds and self._rests.get(owed.channel, now) <= now:
            strikes = self._strikes[owed.channel] = min(self._strikes.get(owed.channel, 0) + 1, 20)
            longest = max(self._policy.longest_delay, result.hold_seconds)
            seconds = min(result.hold_seconds * 2 ** (strikes - 1), longest)
            self._rests[owed.channel] = now + timedelta(seconds=seconds)
            _log.warning("channel_rests", channel=owed.channel, seconds=seconds, reason=result.reason)

    def _delay(self, attempts: int) -> timedelta:
        whole = min(self._policy.first_delay * 2 ** (attempts - 1), self._policy.longest_delay)
        jitter = int.from_bytes(self._entropy.bytes(2), "big") / 65_535
        return timedelta(seconds=whole * (0.5 + jitter / 2))

    async def _finish(
        self, owed: Owed, state: DeliveryState, reason: str | None, platform_id: str | None = None
    ) -> None:
        now = self._clock.now()
        if await keep_recording(
            lambda: self._outbox.finish(owed, state, now=now, reason=reason, platform_id=platform_id)
        ):
            self._metrics.ended.labels(owed.channel, owed.kind, state).inc()
            if state not in (DeliveryState.SENT, DeliveryState.UNREACHABLE, DeliveryState.OPTED_OUT):
                _log.warning("delivery_not_sent", delivery=owed.id, channel=owed.channel, state=state, reason=reason)


def _explain(error: Exception) -> str:
    """What is wrong, without the values: they may name a player or a code."""
    if isinstance(error, InvalidInput) and error.problems:
        return "; ".join(f"{problem.field} {problem.message}" for problem in error.problems)
    return type(error).__name__
