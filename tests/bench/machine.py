"""The machine and the versions that figures were taken with."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from gamekit.testing.servers import ValkeyServer

LIBRARIES = (
    "starlette",
    "uvicorn",
    "uvloop",
    "httptools",
    "asyncpg",
    "redis",
    "hiredis",
    "msgpack",
    "orjson",
    "pydantic",
)


def describe(postgres: str, gate: ValkeyServer) -> dict[str, object]:
    """`postgres` is what the server says of its version."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with gate.client() as client:
        valkey = client.info("server")
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "postgresql": postgres.split(" on ", maxsplit=1)[0].removeprefix("PostgreSQL "),
        "valkey": valkey.get("valkey_version", valkey["redis_version"]),
        "redis-benchmark": _first_line(["redis-benchmark", "--version"]),
        "wrk": _first_line(["wrk", "--version"]),
        "libraries": {name: version(name) for name in LIBRARIES},
    }


def load() -> float:
    """How many processes wanted a core in the last minute: far above the bench's own few, the figures are worth little."""
    return round(os.getloadavg()[0], 2)


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor()


def _first_line(command: Sequence[str]) -> str:
    # wrk tells its version with an exit code of 1.
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    line = (done.stdout or done.stderr).splitlines()[0]
    found = re.search(r"\d+(\.\d+)+", line)
    return found[0] if found else line
