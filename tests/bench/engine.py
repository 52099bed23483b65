"""Durable draws per second inside one process, against the textbook draw and a draw under a Redis lock."""

from __future__ import annotations

from itertools import count
from random import Random

from sqlalchemy import text

from gamekit.storage.sql import reading
from gamekit.testing.servers import PostgresServer, valkey
from tests.bench.rivals import CONNECTIONS, ForUpdate, UnderLock
from tests.bench.samples import Effort, Figure, Side, interleaved, rate
from tests.bench.stand import CALLERS, Stand, stand

OURS = f"Engine.draw, {CALLERS:,} callers, PostgreSQL"


async def measure(postgres: PostgresServer, effort: Effort) -> list[Figure]:
    marks = count(1)

    def rival(draws: ForUpdate | UnderLock, *, callers: int = CONNECTIONS) -> Side:
        async def sample() -> float:
            mark = next(marks)
            return await rate(callers, effort.seconds, lambda a, made: draws.draw(f"{mark}-{a}-{made}", f"p{a}"))

        return sample

    with postgres.fresh_database(migrated=False) as textbook_url, valkey() as lock_server:
        textbook = await ForUpdate.open(textbook_url, Random(1))
        locked = await UnderLock.open(lock_server.url, Random(1))
        async with stand(postgres) as ours:
            view = await ours.publish("engine")
            sample = ours.sampler("engine", effort.seconds)
            sides = sample, rival(textbook), rival(locked)
            for side in sides:
                await side()
            rounds = await interleaved(effort.pairs, *sides)
            rows = await _rows(ours, view.run)
            assert rows == ours.answered, f"{ours.answered} answers, {rows} rows"
            alone = await rival(locked, callers=1)()
        await textbook.close()
        await locked.close()
    return [
        Figure(
            "engine_vs_for_update",
            OURS,
            f"SELECT … FOR UPDATE, {CONNECTIONS} connections",
            "draws/s",
            tuple((one, two) for one, two, _ in rounds),
            {"rows_in_the_ledger": rows},
        ),
        Figure(
            "engine_vs_redis_lock",
            OURS,
            f"redis-py Lock, {CONNECTIONS} callers",
            "draws/s",
            tuple((one, three) for one, _, three in rounds),
            {"lock_with_a_single_caller": round(alone)},
        ),
    ]


async def _rows(ours: Stand, run: str) -> int:
    async with reading(ours.gamekit.records.sql) as connection:
        found = await connection.scalar(
            text("SELECT count(*) FROM draws WHERE run_id = :run AND NOT void"), {"run": run}
        )
    return int(found or 0)
