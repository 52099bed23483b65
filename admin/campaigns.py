"""The list of campaigns, and a campaign with its odds, its proof and its latest draws."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from starlette.responses import Response

from admin import figures
from admin.frame import HOME, Desk, Frame, Visit, redirect
from gamekit.campaigns.document import CampaignDocument, localized
from gamekit.campaigns.service import CampaignSummary, PrizeStanding
from gamekit.draws.recent import RecentDraw
from gamekit.errors import NotFound

LATEST = 50
COLOURS = 6


@dataclass(frozen=True, slots=True)
class CampaignRow:
    """One line of the list."""

    name: str
    slug: str
    url: str
    phase: str
    """draft, scheduled, live, paused or ended."""
    starts: str
    ends: str
    zone: str
    version: str
    """The odds version; a dash before the first."""


@dataclass(frozen=True, slots=True)
class CampaignsPage:
    """The context of `campaigns.html`."""

    frame: Frame
    words: Mapping[str, str]
    rows: tuple[CampaignRow, ...]


@dataclass(frozen=True, slots=True)
class PrizeRow:
    """One line of the table of odds."""

    name: str
    key: str
    colour: str
    """The class of its swatch."""
    kind: str
    fallback: bool
    weight: str
    share: str
    one_in: str
    stock: str
    issued: str
    left: str


@dataclass(frozen=True, slots=True)
class DrawRow:
    """One line of the latest draws."""

    id: str
    iso: str
    """RFC 3339."""
    time: str
    day: str
    is_win: bool
    prize: str
    colour: str
    unit: str
    reason: str
    """Empty where the prize is the picked one."""
    player: str


@dataclass(frozen=True, slots=True)
class CampaignPage:
    """The context of `campaign.html`."""

    frame: Frame
    words: Mapping[str, str]
    campaign: CampaignRow
    prizes: tuple[PrizeRow, ...]
    weights: str
    """The total of the weights."""
    issued: str
    """All draws that were issued a prize, the fallback among them."""
    commitment: str
    odds_hash: str | None
    """None before the first odds version."""
    seed: str | None
    """None until the campaign has ended."""
    draws: tuple[DrawRow, ...]
    draws_note: str


class CampaignRoutes:
    """The handlers; each is given a visit that may read campaigns."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._services = desk.services

    async def list(self, visit: Visit) -> Response:
        """GET /admin/campaigns."""
        rows = tuple(_row(summary, visit.language, visit.words) for summary in await self._services.campaigns.list())
        return self._desk.render(visit, "campaigns.html", CampaignsPage(self._desk.frame(visit), visit.words, rows))

    async def campaign(self, visit: Visit) -> Response:
        """GET /admin/campaigns/{slug}. Raises `CampaignNotFound`."""
        slug = visit.request.path_params["slug"]
        summary, draws = await asyncio.gather(
            self._services.campaigns.get(slug), self._services.recent_draws(slug, LATEST)
        )
        return self._desk.render(visit, "campaign.html", self._context(visit, summary, draws))

    async def home(self, _: Visit) -> Response:
        """GET /admin."""
        return redirect(HOME)

    async def missing(self, visit: Visit) -> Response:
        """Every other address under /admin. Raises `NotFound`."""
        if visit.request.path_params["rest"]:
            raise NotFound
        return redirect(HOME)

    def _context(self, visit: Visit, summary: CampaignSummary, draws: Sequence[RecentDraw]) -> CampaignPage:
        words, language, document = visit.words, visit.language, summary.document
        total = sum(prize.weight for prize in document.prizes)
        colours = _colours(document)
        return CampaignPage(
            frame=self._desk.frame(visit),
            words=words,
            campaign=_row(summary, language, words),
            prizes=tuple(_prize(standing, total, colours, language, words) for standing in summary.prizes),
            weights=figures.number(total),
            issued=figures.number(sum(standing.issued for standing in summary.prizes)),
            commitment=summary.commitment,
            odds_hash=summary.odds_hash,
            seed=summary.seed,
            draws=tuple(_draw(draw, document.timezone, colours, language, words) for draw in draws),
            draws_note=words["draws_note"]
            .replace("{most}", str(LATEST))
            .replace("{zone}", figures.zone_name(document.timezone, language)),
        )


def _row(summary: CampaignSummary, language: str, words: Mapping[str, str]) -> CampaignRow:
    document = summary.document
    starts, ends, zone = document.starts_at, summary.ended_at or document.ends_at, document.timezone
    return CampaignRow(
        name=localized(document.name, language),
        slug=summary.slug,
        url=f"{HOME}/{quote(summary.slug, safe='')}",
        phase=summary.phase.value,
        starts=figures.minute(starts, zone, language) if starts else words["at_publication"],
        ends=figures.minute(ends, zone, language) if ends else words["no_end"],
        zone=figures.zone_name(zone, language),
        version=figures.DASH if summary.version is None else figures.number(summary.version),
    )


def _prize(
    standing: PrizeStanding, total: int, colours: Mapping[str, str], language: str, words: Mapping[str, str]
) -> PrizeRow:
    prize, stock = standing.prize, standing.stock
    return PrizeRow(
        name=localized(prize.name, language),
        key=prize.key,
        colour=colours[prize.key],
        kind=words[f"kind_{prize.kind.value}"],
        fallback=prize.fallback,
        weight=figures.number(prize.weight),
        share=figures.share(prize.weight, total),
        one_in=figures.one_in(prize.weight, total, words),
        stock=words["no_limit"] if stock is None else figures.number(stock),
        issued=figures.number(standing.issued),
        left=words["no_limit"] if stock is None else figures.number(stock - standing.issued),
    )


def _draw(draw: RecentDraw, zone: str, colours: Mapping[str, str], language: str, words: Mapping[str, str]) -> DrawRow:
    reason = words[f"reason_{draw.reason}"] if draw.reason else ""
    return DrawRow(
        id=draw.id,
        iso=draw.created_at.isoformat(),
        time=figures.second(draw.created_at, zone),
        day=figures.day(draw.created_at, zone, language),
        is_win=draw.is_win,
        prize=localized(dict(draw.prize_name), language),
        # A prize of an earlier odds version may be gone, and has no colour any more.
        colour=colours.get(draw.prize, "c0"),
        unit=figures.DASH if draw.unit is None else figures.number(draw.unit),
        reason=reason.replace("{picked}", localized(dict(draw.picked_name), language)),
        player=draw.player,
    )


def _colours(document: CampaignDocument) -> Mapping[str, str]:
    """Each prize's swatch by its place: six colours, the same six striped, then grey; the fallback is always grey stripes."""
    classes = [f"c{n}" for n in range(1, COLOURS + 1)]
    classes += [f"{name} striped" for name in classes]
    keys = [prize.key for prize in document.prizes if not prize.fallback]
    coloured = dict(zip(keys, classes, strict=False))
    return {
        **{prize.key: coloured.get(prize.key, "c0") for prize in document.prizes},
        document.fallback.key: "c0 striped",
    }
