"""`/livez` and `/readyz`: whether the process runs, and whether it should be sent requests.

What is looked at comes from main as named checks; a check that raises, or takes too long, is not ready. Their sentences
are public, so a check says nothing that an address or a password could be read from; an exception is only named.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import orjson
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gamekit.http.errors import problem

CHECK_SECONDS = 2.0
RETRY_SECONDS = 2

_NO_STORE = {"cache-control": "no-store"}
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found: whether requests may come, and a sentence for whoever looks."""

    ready: bool
    detail: str = "ok"


Check = Callable[[], Awaitable[Finding]]


def health_routes(checks: Mapping[str, Check]) -> list[Route]:
    """`/livez` and `/readyz` over the named checks."""

    async def livez(_: Request) -> Response:
        return Response(b'{"status":"alive"}', headers=_NO_STORE, media_type="application/json")

    async def readyz(_: Request) -> Response:
        found = await examine(checks)
        details = {name: finding.detail for name, finding in found.items()}
        failing = [name for name, finding in found.items() if not finding.ready]
        if failing:
            detail = f"Not ready: {', '.join(failing)}."
            return problem(503, "not_ready", detail, retry_after=RETRY_SECONDS, extensions={"checks": details})
        content = orjson.dumps({"status": "ready", "checks": details})
        return Response(content, headers=_NO_STORE, media_type="application/json")

    return [Route("/livez", livez), Route("/readyz", readyz)]


async def examine(checks: Mapping[str, Check]) -> dict[str, Finding]:
    """What every check finds, all at the same time."""
    found = await asyncio.gather(*(_one(name, check) for name, check in checks.items()))
    return dict(zip(checks, found, strict=True))


async def _one(name: str, check: Check) -> Finding:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await check()
    except TimeoutError:
        return Finding(False, f"no answer within {CHECK_SECONDS:g} s")
    except Exception as error:  # noqa: BLE001 - whatever a check raises, the answer is "not ready"
        _log.warning("readyz.failed", check=name, exc_info=error)
        return Finding(False, type(error).__name__)
