"""`python -m tests.bench [--quick] [--only NAME]…`: takes the figures of `docs/performance.md`.

A quick run is for developing: it writes `var/bench-quick.json`, so that a rough figure never passes for a real one.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from time import monotonic
from typing import Any

import structlog
import uvloop

from gamekit.testing.servers import PostgresServer, finished, postgres, valkey
from tests.bench import engine, gate, growth, machine, report, resync, web
from tests.bench.database import connect
from tests.bench.samples import FULL, QUICK, Effort, Figure

Measure = Callable[[PostgresServer, Effort], Coroutine[Any, Any, list[Figure]]]
MEASURES: dict[str, Measure] = {
    "engine": engine.measure,
    "gate": gate.measure,
    "web": web.measure,
    "growth.prizes": growth.measure_prizes,
    "growth.stock": growth.measure_stock,
    "growth.players": growth.measure_players,
    "growth.ledger": growth.measure_ledger,
    "resync": resync.measure,
}
PROGRAMS = {"redis-benchmark": "redis-tools", "wrk": "wrk"}
"""With Debian's packages."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short samples, two pairs, a small ledger")
    parser.add_argument("--only", action="append", choices=sorted({*MEASURES, "growth"}), help="may be repeated")
    options = parser.parse_args()
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        packages = " ".join(PROGRAMS[name] for name in missing)
        print(f"Not found: {', '.join(missing)}. On Debian: apt-get install {packages}", file=sys.stderr)
        return 2
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    effort = QUICK if options.quick else FULL
    file = report.FILE.with_name("bench-quick.json") if options.quick else report.FILE
    wanted = [name for name in MEASURES if not options.only or {name, name.partition(".")[0]} & set(options.only)]
    # As much memory as a small production server gives it: with less, a long ledger would be measured, not the engine.
    with postgres(shared_buffers="1GB", max_wal_size="16GB") as server:
        with valkey() as one:
            described = machine.describe(finished(_version(server)), one)
        for name in wanted:
            began, load = monotonic(), machine.load()
            print(f"{name} …", end=" ", file=sys.stderr, flush=True)
            figures = uvloop.run(MEASURES[name](server, effort))
            print(f"{monotonic() - began:.0f} s", file=sys.stderr)
            taken = datetime.now(UTC).isoformat(timespec="seconds")
            report.save(
                file, figures, {"effort": effort.name, "taken": taken, "load_before": load, "machine": described}
            )
    print(report.table(json.loads(file.read_text("utf-8"))["raw"]))
    return 0


async def _version(server: PostgresServer) -> str:
    connection = await connect(server.url())
    try:
        return str(await connection.fetchval("SELECT version()"))
    finally:
        await connection.close()


if __name__ == "__main__":
    sys.exit(main())
