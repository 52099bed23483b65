"""Drawing and looking up draws, by a campaign's slug: what routes, pages and bots call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from gamekit.campaigns.models import RunKind
from gamekit.campaigns.views import Phase, RunView
from gamekit.clock import Clock
from gamekit.draws import history, metrics
from gamekit.draws.answers import Renderer
from gamekit.draws.book import Book
from gamekit.draws.calls import Landed, Refusal, RefusalCode, alias, codes_of, pooled_units
from gamekit.draws.chances import chances_left, next_chance_at
from gamekit.draws.engine import Engine
from gamekit.draws.export import export_lines
from gamekit.draws.ledger import Ledger
from gamekit.draws.reservations import Reservation
from gamekit.errors import InvalidInput, Problem
from gamekit.ids import parse_draw_id
from gamekit.players.resolver import Resolver
from gamekit.plugin import Game
from gamekit.storage.sql import reading

__all__ = ["Drawn", "Draws", "Page", "RefusalCode", "Refused", "Standing"]

MAX_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Drawn:
    """A committed request. `draws` are JSON-ready, as in the API; `chances_left` is None without limit."""

    draws: Sequence[dict[str, Any]]
    chances_left: int | None
    replayed: bool


Refused = Refusal


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a player stands in a run. `latest` is the player's last request made from a page."""

    state: Phase
    chances_left: int | None
    next_chance_at: datetime | None
    latest: Sequence[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Page:
    """Draws in ledger order. `next` continues after them; None where nothing more can be read yet."""

    draws: Sequence[dict[str, Any]]
    next: str | None


class Draws:
    """The draws of one database."""

    def __init__(
        self,
        sql: AsyncEngine,
        *,
        engine: Engine,
        book: Book,
        ledger: Ledger,
        resolver: Resolver,
        clock: Clock,
        games: Mapping[str, Game],
    ) -> None:
        self._sql = sql
        self._engine = engine
        self._book = book
        self._ledger = ledger
        self._resolver = resolver
        self._clock = clock
        self._renderer = Renderer(games)

    async def draw(
        self,
        slug: str,
        kind: RunKind,
        *,
        channel: str,
        external_id: str,
        source: str | None,
        key: str,
        count: int,
        body_hash: str,
    ) -> Drawn | Refused:
        """Draws `count` times (1..10), all or none, once per (source, key). `source` None: the player's own page.

        Raises `CampaignNotFound`, `KeyReused`, `Unavailable`.
        """
        began = perf_counter()
        answer = await self._engine.draw(
            (slug, kind), (channel, external_id), source=source, key=key, count=count, body_hash=body_hash
        )
        metrics.LATENCY.observe(perf_counter() - began)
        if isinstance(answer, Refusal):
            metrics.REFUSALS.labels(answer.code).inc()
            return answer
        view, reservation = answer.view, answer.reservation
        if reservation.memo.version == view.version:
            draws = self._renderer.render(answer)
        else:
            # Drawn before the campaign was changed: told with the names, prizes and codes of its own version.
            draws = await self._render(view, reservation)
        if not answer.replayed:
            for draw in draws:
                metrics.count_draw(draw["outcome"], draw["reason"] or "")
        return Drawn(draws, answer.chances_left, answer.replayed)

    async def standing(self, slug: str, kind: RunKind, *, channel: str, external_id: str) -> Standing:
        """What a player may do now. Raises `CampaignNotFound`."""
        view = await self._book.reload((slug, kind))
        now = self._clock.now()
        found, _ = await self._resolver.resolve([(channel, external_id)])
        player_id = found[channel, external_id]
        truths = await self._ledger.truths(view.run, [player_id], day=view.day(now), fallbacks=view.fallbacks)
        truth = truths[player_id]
        left = chances_left(view, truth)
        async with reading(self._sql) as connection:
            latest = await history.latest_request(connection, view.run, f"web:{alias(view, player_id)}", player_id)
        return Standing(
            view.phase(now),
            left,
            next_chance_at(view, truth, now) if left == 0 else None,
            await self._render(view, latest) if latest else (),
        )

    async def find(self, draw_id: str) -> dict[str, Any] | None:
        """One draw by its id; None where there is none."""
        found = await self.locate(draw_id)
        return found[1] if found else None

    async def locate(self, draw_id: str) -> tuple[RunView, dict[str, Any]] | None:
        """One draw by its id, with its run as the draw's odds version shows it; None where there is none."""
        parsed = parse_draw_id(draw_id)
        if parsed is None:
            return None
        async with reading(self._sql) as connection:
            located = await history.located(connection, *parsed)
        if located is None:
            return None
        slug, kind, reservation, index = located
        view = await self._at(slug, kind, reservation)
        return view, (await self._render(view, reservation))[index]

    async def history(self, slug: str, kind: RunKind, *, after: str | None, limit: int) -> Page:
        """Draws oldest first, after the cursor `after`. Waits, by stopping early, for draws that may still land before."""
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidInput("The page is not valid.", problems=(Problem("limit", f"must be from 1 to {MAX_PAGE}"),))
        view = await self._book.reload((slug, kind))
        async with reading(self._sql) as connection:
            page = await history.page(connection, view.run, view.epoch, after=history.parse_cursor(after), limit=limit)
        draws = []
        for reservation, indexes in page.requests:
            rendered = await self._render(await self._at(slug, kind, reservation), reservation)
            draws += [rendered[index] for index in indexes]
        return Page(draws, page.cursor)

    def export(self, slug: str, kind: RunKind) -> AsyncIterator[bytes]:
        """The ledger of a run as JSON lines: what `gamekit verify` reads."""
        return export_lines(self._sql, self._book, slug, kind)

    async def _at(self, slug: str, kind: RunKind, reservation: Reservation) -> RunView:
        """The run as the draw's own odds version shows it."""
        view = await self._book.view((slug, kind))
        return await self._book.at_version(view, reservation.memo.version)

    async def _render(self, view: RunView, reservation: Reservation) -> list[dict[str, Any]]:
        if reservation.memo.version != view.version:
            view = await self._book.at_version(view, reservation.memo.version)
        units = pooled_units(view, [reservation])
        codes = await self._ledger.codes(units) if units else {}
        mine = codes_of(view, reservation, codes)
        landed = Landed(view, reservation, alias(view, reservation.player_id), mine, replayed=True, chances_left=None)
        return self._renderer.render(landed)
