"""The gate alone: batches from one Python process, against `redis-benchmark` sending the same script for one draw.

Equal on both sides: the script, its rules (allowance over the run and per day, wins, a cap, stock), one stocked prize,
and a player whom nobody has seen before in every request. Not equal: `redis-benchmark` packs its arguments once and
reads no reply, and its requests share one key; ours are made, packed, read and confirmed in Python.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import Sequence
from time import perf_counter
from typing import Any

from gamekit.draws.engine import IN_FLIGHT
from gamekit.draws.gate import Ask, Gate, Reserved, Terms
from gamekit.draws.reservations import Memo
from gamekit.entropy import SystemEntropy
from gamekit.ids import nonces
from gamekit.storage.redis import open_redis
from gamekit.testing.servers import PostgresServer, ValkeyServer, valkey
from tests.bench.samples import Effort, Figure, interleaved

BATCH = 256
PIPELINE = 16
PRIZE, FALLBACK = "latte", "thanks"
RUN = "benchbenchbe"
EPOCH = 1
# None of these has a zero byte when it is packed: an argument of a command line cannot hold one.
UNITS = 0x01010101
MOMENT = 0x0101010101010101
BODY_HASH = "1" * 31
TERMS = Terms(
    epoch=EPOCH,
    deadline_ms=MOMENT,
    day=20261201,
    total=5,
    per_day=3,
    win_limit=2,
    prizes={PRIZE: (UNITS, UNITS, 1)},
)
_PLACEHOLDER = b"__rand_int__"
"""What `redis-benchmark` replaces by twelve random digits, each time anew: as long as a nonce."""
_PLAYER = 777777777777
_RANDOM_BELOW = "2000000000"


async def measure(_: PostgresServer, effort: Effort) -> list[Figure]:
    with valkey() as server:
        gate = Gate(open_redis(server.url))
        command = await _one_draw(server)
        await _install(server)
        probe = await asyncio.to_thread(_benchmark, server, command, 20_000)

        async def ours() -> float:
            await _install(server)
            return await _batches(gate, effort.seconds)

        async def theirs() -> float:
            await _install(server)
            return await asyncio.to_thread(_benchmark, server, command, round(probe * effort.seconds))

        await ours()
        rounds = await interleaved(effort.pairs, ours, theirs)
        await gate._redis.aclose()
    return [
        Figure(
            "gate_vs_redis_benchmark",
            f"Gate.reserve and confirm, batches of {BATCH}, one Python process",
            f"redis-benchmark -P {PIPELINE}, EVALSHA of one draw",
            "draws/s",
            tuple((one, two) for one, two in rounds),
        )
    ]


async def _batches(gate: Gate, seconds: float) -> float:
    """Draws per second with as many batches under way as the engine has."""
    began = perf_counter()
    numbers = iter(range(1, 1 << 60))
    entropy = SystemEntropy()

    async def line() -> int:
        made = 0
        while perf_counter() - began < seconds:
            asks = []
            for nonce, number in zip(nonces(entropy, BATCH), numbers, strict=False):
                asks.append(Ask(nonce, _PLAYER + number, True, _memo(f"key-{number}")))
            found = await gate.reserve(RUN, TERMS, asks)
            assert found.replies is not None
            assert all(isinstance(reply, Reserved) for reply in found.replies)
            assert await gate.confirm(RUN, EPOCH, [ask.nonce for ask in asks]) == BATCH
            made += BATCH
        return made

    made = sum(await asyncio.gather(*(line() for _ in range(IN_FLIGHT))))
    return made / (perf_counter() - began)


def _memo(key: str) -> Memo:
    return Memo("api:bench", key, BODY_HASH, 1, MOMENT, (PRIZE,), FALLBACK)


async def _install(server: ValkeyServer) -> None:
    client = open_redis(server.url)
    await client.flushall()
    assert await Gate(client).install(RUN, EPOCH, fresh=True, units={PRIZE: (0, ())})
    await client.aclose()


class _Recorder:
    """Stands where the gate's client is and keeps the command instead of sending it."""

    def __init__(self) -> None:
        self.command: tuple[Any, ...] = ()

    async def evalsha(self, *arguments: Any) -> Any:
        self.command = ("EVALSHA", *arguments)
        raise _Recorded


class _Recorded(Exception):
    """The command is known."""


async def _one_draw(server: ValkeyServer) -> list[bytes]:
    """The command that the gate would send for one draw, with its ids left to chance."""
    recorder = _Recorder()
    gate = Gate(recorder)  # type: ignore[arg-type]
    ask = Ask(_PLACEHOLDER.decode(), _PLAYER, True, _memo("key-1"))
    with contextlib.suppress(_Recorded):
        await gate.reserve(RUN, TERMS, [ask])
    client = open_redis(server.url)
    assert await client.script_load(gate._reserve._source) == gate._reserve._digest
    await client.aclose()
    *command, body = (part if isinstance(part, bytes) else str(part).encode() for part in recorder.command)
    assert body.count(str(_PLAYER).encode()) == 1
    # A text of 32 to 255 bytes has a zero byte in its length; msgpack's newer form of the same has none.
    body = body.replace(b"\xda\0", b"\xd9").replace(str(_PLAYER).encode(), _PLACEHOLDER)
    assert not any(b"\0" in part for part in (*command, body)), body
    return [*command, body]


def _benchmark(server: ValkeyServer, command: Sequence[bytes], draws: int) -> float:
    """Requests per second."""
    options = ["-h", server.host, "-p", str(server.port), "-P", str(PIPELINE), "-n", str(draws), "-r", _RANDOM_BELOW]
    done = subprocess.run(
        ["redis-benchmark", *options, "--csv", *command], stdin=subprocess.DEVNULL, capture_output=True, check=True
    )
    *_, pending_key, _, _ = command
    pending = server.command("HLEN", pending_key.decode())
    assert isinstance(pending, int)
    # Each request must have reserved its draw, or another script than the gate's whole was measured.
    assert pending >= 0.99 * draws, (pending, draws, done.stderr)
    # The title is the command itself, with all its bytes; after it come rps and six latencies.
    return float(done.stdout.split(b'","')[-7])
