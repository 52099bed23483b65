"""Durable draws over HTTP: `gamekit serve` with one worker, against a bare echo on the same server software, by wrk.

And how long an answer takes at half the top rate. Every draw is authorised, has an Idempotency-Key, and wins: so each
commits a ledger row with a unit of stock, and a delivery for the player's channel.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import httpx2
from sqlalchemy import text

from gamekit.campaigns.schemas import parse_document
from gamekit.channels.service import ConnectedChannel
from gamekit.config import load_settings
from gamekit.main import open_records
from gamekit.storage.sql import reading
from gamekit.testing.servers import PostgresServer, free_port, valkey
from gamekit.testing.servers.process import finish, wait_until
from tests.bench.rivals import FALLBACK, WEIGHTS
from tests.bench.samples import Effort, Figure, interleaved
from tests.bench.stand import CHANNEL, LIMITS, SECRET_KEY, prizes

HOST = "127.0.0.1"
ROOT = Path(__file__).parents[2]
CONNECTIONS = 256
PLAYERS = 1_000
SLUG = "web"
MOST_RATE_PER_MINUTE = 100_000_000


@dataclass(frozen=True, slots=True)
class Target:
    """A route under load."""

    port: int
    path: str
    secret: str = "none"


_marks = count(1)


async def measure(postgres: PostgresServer, effort: Effort) -> list[Figure]:
    with ExitStack() as stack:
        sql_url = stack.enter_context(postgres.fresh_database())
        gate = stack.enter_context(valkey())
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="gamekit-bench-"))
        environment = {
            "GAMEKIT_SECRET_KEY": SECRET_KEY,
            "GAMEKIT_DATABASE_URL": sql_url,
            "GAMEKIT_REDIS_URL": gate.url,
            "GAMEKIT_DATA_DIR": folder,
            "GAMEKIT_LOG_LEVEL": "WARNING",
            # As with `gamekit worker` on another machine: what is delivered costs this one nothing.
            "GAMEKIT_RELAY": "false",
        }
        secret = await _prepare(sql_url, gate.url, Path(folder))
        serve = "from gamekit.cli import main; main()", "serve", "--host", HOST, "--workers", "1", "--port"
        ours = Target(
            stack.enter_context(_served("-c", *serve, env=environment)), f"/api/v1/campaigns/{SLUG}/draws", secret
        )
        echo = Target(stack.enter_context(_served("-m", "tests.bench.echo", env={})), "/echo")
        latencies: list[dict[str, float]] = []
        answered = 0.0

        async def draws() -> float:
            nonlocal answered
            found = await _wrk(ours, effort.seconds)
            answered += found["requests"]
            return found["requests"] / found["seconds"]

        async def echoes() -> float:
            found = await _wrk(echo, effort.seconds)
            return found["requests"] / found["seconds"]

        # The first samples do not count.
        await interleaved(1, draws, echoes)
        rounds = []
        for _ in range(effort.pairs):
            [(drawn, echoed)] = await interleaved(1, draws, echoes)
            rounds.append((drawn, echoed))
            latencies.append(await _paced(ours, drawn / 2, effort.seconds + 1))
            answered += latencies[-1]["answered"]
        rows, owed = await _written(sql_url)
    # What wrk had under way when its time was up is there as well.
    assert rows >= answered, f"{answered} answers, {rows} rows"
    assert owed == rows, f"{rows} draws owe {owed} deliveries"
    return [
        Figure(
            "http_vs_echo",
            f"POST …/draws, gamekit serve with one worker, wrk with {CONNECTIONS} connections",
            "POST /echo, bare Starlette on the same uvicorn",
            "requests/s",
            tuple(rounds),
            {"rows_in_the_ledger": rows, "deliveries_owed": owed},
        ),
        Figure(
            "http_p99_over_p50",
            "p99 of draws at half the top rate, open loop",
            "p50",
            "ms",
            tuple((found["p99_ms"], found["p50_ms"]) for found in latencies),
            {"paced": latencies},
        ),
    ]


async def _prepare(sql_url: str, redis_url: str, folder: Path) -> str:
    """A published campaign that always wins, a connected channel, and an API key."""
    settings = load_settings(secret_key=SECRET_KEY, database_url=sql_url, redis_url=redis_url, data_dir=folder)
    records = open_records(settings)
    weights = {key: 0 if key == FALLBACK else weight for key, weight in WEIGHTS.items()}
    document = {
        "slug": SLUG,
        "game": "wheel",
        "timezone": "Asia/Taipei",
        "name": {"en": "Bench"},
        "chances": LIMITS,
        "prizes": prizes(weights),
    }
    await records.campaigns.apply(parse_document(document), dry_run=False)
    await records.campaigns.publish(SLUG)
    await records.channels.connect(ConnectedChannel(CHANNEL, CHANNEL, "404217156637689", "a" * 32, "verify", "token"))
    made = await records.keys.create("bench", ["draw"], rate_per_minute=MOST_RATE_PER_MINUTE)
    await records.sql.dispose()
    return made.secret


async def _written(sql_url: str) -> tuple[int, int]:
    records = open_records(load_settings(secret_key=SECRET_KEY, database_url=sql_url))
    async with reading(records.sql) as connection:
        rows = await connection.scalar(text("SELECT count(*) FROM draws WHERE NOT void"))
        owed = await connection.scalar(text("SELECT count(*) FROM deliveries"))
    await records.sql.dispose()
    return int(rows or 0), int(owed or 0)


@contextlib.contextmanager
def _served(*arguments: str, env: dict[str, str]) -> Iterator[int]:
    """Runs a server in Python, which is given its port as the last argument."""
    port = free_port()
    with tempfile.NamedTemporaryFile(prefix="gamekit-bench-") as log:
        process = subprocess.Popen(
            [sys.executable, *arguments, str(port)], cwd=ROOT, env={**os.environ, **env}, stdout=log, stderr=log
        )
        try:
            wait_until(lambda: _answers(port), process, Path(log.name))
            yield port
        finally:
            finish(process, signal.SIGTERM)


def _answers(port: int) -> bool:
    try:
        return httpx2.get(f"http://{HOST}:{port}/livez", timeout=1).status_code < 500
    except httpx2.HTTPError:
        return False


async def _wrk(target: Target, seconds: int) -> dict[str, float]:
    """What wrk tells of a sample in which all requests were answered as they should."""
    script = Path(__file__).with_name("wrk.lua")
    options = ["-t", "1", "-c", str(CONNECTIONS), "-d", f"{seconds}s", "--timeout", "10s", "-s", str(script)]
    own = [target.path, target.secret, f"w{next(_marks)}", str(PLAYERS)]
    told = await asyncio.to_thread(_output, ["wrk", *options, f"http://{HOST}:{target.port}", "--", *own])
    found: dict[str, float] = json.loads(told.splitlines()[-1])
    assert not found["refused"], found
    assert not found["broken"], found
    return found


async def _paced(target: Target, rate: float, seconds: float) -> dict[str, float]:
    job = {
        "host": HOST,
        "port": target.port,
        "path": target.path,
        "secret": target.secret,
        "mark": f"p{next(_marks)}",
        "players": PLAYERS,
        "connections": CONNECTIONS,
        "rate": rate,
        "seconds": seconds,
        "warm_up": 0.5,
    }
    told = await asyncio.to_thread(_output, [sys.executable, "-m", "tests.bench.pace", json.dumps(job)])
    found: dict[str, float] = json.loads(told)
    assert found["answered"] == found["sent"], found
    assert not found["refused"], found
    return {"rate": round(rate, 1)} | {name: round(value, 3) for name, value in found.items()}


def _output(command: list[str]) -> str:
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr[-2000:]}")
    return done.stdout
