"""The long fault runs: `python -m tests.faults.soak [--minutes N] [--seed S]`.

Turns between the machine of all faults and the kill -9 loops, on SQLite and PostgreSQL, each turn with a seed of its own.
Ends with 1 at the first violation, naming the turn and the seed that repeats it (`--seed S --turn NAME`); writes
var/soak.json. What other processes do in the meantime is not seeded, so a rare race may take several tries to repeat.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import structlog
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from gamekit.storage.migrate import upgrade
from gamekit.storage.sql import open_database
from gamekit.testing.servers import PostgresServer, finished, postgres, valkey
from tests.faults.kills import kill_drawers, kill_relays
from tests.faults.machine import Arena, DrawMachine

LONG = settings(
    max_examples=10,
    stateful_step_count=60,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    print_blob=False,
    suppress_health_check=list(HealthCheck),
)
RESULT = Path("var/soak.json")

Turn = Callable[[str, int, Counter[str]], None]


def machine(sql_url: str, number: int, counts: Counter[str]) -> None:
    """Ten runs of the machine, of sixty steps each."""
    with valkey() as server:

        class Bound(DrawMachine):
            arena = Arena(sql_url, server, counts)

        run_state_machine_as_test(seed(number)(Bound), settings=LONG)


def drawers(sql_url: str, number: int, counts: Counter[str]) -> None:
    """Drawing processes are killed twenty times, two at once."""
    with valkey(appendonly=random.Random(number).choice(["yes", "no"])) as server:
        asyncio.run(kill_drawers(sql_url, server.url, f"soak-{number}", number, rounds=20, counts=counts))


def relays(sql_url: str, number: int, counts: Counter[str]) -> None:
    """Relays are killed until 300 messages and 300 tags have ended."""
    asyncio.run(kill_relays(sql_url, number, messages=300, counts=counts, rounds=400))


TURNS: dict[str, Turn] = {"machine": machine, "drawers": drawers, "relays": relays}


@contextmanager
def database(server: PostgresServer, template: Path, number: int) -> Iterator[tuple[str, str]]:
    """A fresh database: PostgreSQL for an even seed, SQLite for an odd one."""
    if number % 2 == 0:
        with server.fresh_database() as url:
            yield "postgres", url
        return
    with tempfile.TemporaryDirectory(prefix="gamekit-soak-") as folder:
        shutil.copyfile(template, f"{folder}/gamekit.db")
        yield "sqlite", f"sqlite+aiosqlite:///{folder}/gamekit.db"


async def _migrate(url: str) -> None:
    engine = open_database(url)
    await upgrade(engine)
    await engine.dispose()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="how long (default 60)")
    parser.add_argument("--seed", type=int, help="the first turn's seed; with --turn, the only one")
    parser.add_argument("--turn", choices=TURNS, help="only this kind of turn, once")
    chosen = parser.parse_args(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    first = random.SystemRandom().randrange(10**9) if chosen.seed is None else chosen.seed
    counts: Counter[str] = Counter()
    began = time.monotonic()
    failure = None
    with ExitStack() as stack:
        server = stack.enter_context(postgres())
        template = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gamekit-soak-"))) / "template.db"
        finished(_migrate(f"sqlite+aiosqlite:///{template}"))
        number = first
        while failure is None:
            # Two turns in three are the machine's.
            name = chosen.turn or ("machine", "drawers", "machine", "relays", "machine", "machine")[(number // 2) % 6]
            with database(server, template, number) as (kind, url):
                failure = _take_turn(name, kind, url, number, counts)
            number += 1
            minutes = (time.monotonic() - began) / 60
            print(f"{minutes:6.1f} min  {name} on {kind}, seed {number - 1}: {_short(counts)}", flush=True)
            if chosen.turn or minutes >= chosen.minutes:
                break
    _write(counts, first, number - first, time.monotonic() - began, failure)
    return 1 if failure else 0


def _take_turn(name: str, kind: str, url: str, number: int, counts: Counter[str]) -> str | None:
    counts[f"turn: {name} on {kind}"] += 1
    try:
        TURNS[name](url, number, counts)
    except Exception:  # noqa: BLE001 - whatever it is, it is told with the seed that repeats it
        traceback.print_exc()
        told = (
            f"{name} on {kind}, seed {number}: repeat with `python -m tests.faults.soak --seed {number} --turn {name}`"
        )
        print(f"VIOLATION in {told}", file=sys.stderr, flush=True)
        return told
    return None


def _short(counts: Counter[str]) -> str:
    faults = sum(number for name, number in counts.items() if name.startswith(("fault:", "kill:")))
    return (
        f"{counts['draws']} draws, {counts['replays']} replays, {faults} faults, "
        f"{counts['checks']} checks, {counts['verified']} verified"
    )


def _write(counts: Counter[str], first: int, turns: int, seconds: float, failure: str | None) -> None:
    RESULT.parent.mkdir(exist_ok=True)
    result = {
        "minutes": round(seconds / 60, 1),
        "first_seed": first,
        "turns": turns,
        "violation": failure,
        "counts": dict(sorted(counts.items())),
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    for name, number in sorted(counts.items()):
        print(f"{number:>10}  {name}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
