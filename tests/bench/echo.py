"""The least a JSON service does: a bare Starlette route that gives back what it was posted.

Run as `python -m tests.bench.echo PORT`.
"""

from __future__ import annotations

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


async def echo(request: Request) -> JSONResponse:
    return JSONResponse(await request.json())


app = Starlette(routes=[Route("/echo", echo, methods=["POST"])])

if __name__ == "__main__":
    # As `gamekit serve` runs its own app.
    uvicorn.run(
        "tests.bench.echo:app",
        host="127.0.0.1",
        port=int(sys.argv[1]),
        workers=1,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=20,
    )
