"""Whether throughput holds as things grow: prizes, stock, players and the ledger. Each sample as in `engine`."""

from __future__ import annotations

from time import perf_counter

from gamekit.testing.servers import PostgresServer
from tests.bench.past import STARTED, load_past
from tests.bench.rivals import FALLBACK, WEIGHTS
from tests.bench.samples import Effort, Figure, Side, interleaved
from tests.bench.stand import CALLERS, Stand, prizes, stand

PLENTY = 10_000_000
MANY_PRIZES = {f"gift-{number}": 5 for number in range(199)} | {FALLBACK: 995}
TWO_PRIZES = {"gift-0": 995, FALLBACK: 995}


async def measure_prizes(postgres: PostgresServer, effort: Effort) -> list[Figure]:
    """Half of the draws win in both, so that as many units are taken."""
    async with stand(postgres) as ours:
        await ours.publish("many", prizes=prizes(MANY_PRIZES))
        await ours.publish("two", prizes=prizes(TWO_PRIZES))
        return [await _compare("prizes", "200 prizes", "2", *_samplers(ours, "many", "two", effort), effort)]


async def measure_stock(postgres: PostgresServer, effort: Effort) -> list[Figure]:
    """Ten of each prize are gone at once: from then on each pick of one becomes the fallback."""
    async with stand(postgres) as ours:
        await ours.publish("deep", prizes=prizes(WEIGHTS, stock=1_000_000))
        await ours.publish("shallow", prizes=prizes(WEIGHTS, stock=10))
        sides = _samplers(ours, "deep", "shallow", effort)
        return [await _compare("stock", "a stock of 1,000,000 of each prize", "10", *sides, effort)]


async def measure_players(postgres: PostgresServer, effort: Effort) -> list[Figure]:
    """Each side has a database and a gate of its own, which grow with its players."""
    async with stand(postgres) as crowd, stand(postgres) as regulars:
        await crowd.publish("crowd")
        await regulars.publish("regulars")
        new = crowd.sampler("crowd", effort.seconds, player=lambda mark, caller, made: f"{mark}-{caller}-{made}")
        known = regulars.sampler("regulars", effort.seconds)
        return [
            await _compare(
                "players", "every draw by a new player", f"{CALLERS:,} returning players", new, known, effort
            )
        ]


async def measure_ledger(postgres: PostgresServer, effort: Effort) -> list[Figure]:
    """The callers are players of the long past, who come back."""
    async with stand(postgres) as long, stand(postgres) as empty:
        seconds = await with_past(long, "ledger", effort.long_ledger)
        await with_past(empty, "ledger", 0)
        sides = long.sampler("ledger", effort.seconds), empty.sampler("ledger", effort.seconds)
        rows = f"a ledger of {effort.long_ledger:,} rows"
        return [await _compare("ledger", rows, "empty", *sides, effort, load_seconds=round(seconds, 1))]


async def with_past(ours: Stand, slug: str, rows: int) -> float:
    """Publishes a campaign with so many draws in its ledger; returns the seconds that took."""
    began = perf_counter()
    now = ours.gamekit.records.clock.now()
    opened = (now - STARTED).isoformat()
    view = await ours.publish(slug, starts_at=opened, prizes=prizes(WEIGHTS, stock=PLENTY))
    if rows:
        await load_past(ours.sql_url, view, rows, now)
    return perf_counter() - began


def _samplers(ours: Stand, over: str, under: str, effort: Effort) -> tuple[Side, Side]:
    return ours.sampler(over, effort.seconds), ours.sampler(under, effort.seconds)


async def _compare(part: str, over: str, under: str, one: Side, other: Side, effort: Effort, **notes: float) -> Figure:
    # The first samples introduce players and fill caches; they do not count.
    await one()
    await other()
    rounds = await interleaved(effort.pairs, one, other)
    return Figure(f"growth.{part}", over, under, "draws/s", tuple((first, second) for first, second in rounds), notes)
