"""Bodies over the limit, sent over a real socket by clients that do not stop by themselves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from tests.api import SLUG, stand
from tests.chat import served


async def _endless(pieces: int) -> AsyncIterator[bytes]:
    for _ in range(pieces):
        yield b" " * 1024


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_is_too_large_gets_its_answer(
    sqlite_url: str, redis_url: str, tmp_path: Path, *, chunked: bool
) -> None:
    """An ordinary client reads 413 in the one shape, whether it announced the size or not; the server goes on."""
    async with stand(sqlite_url, redis_url, tmp_path) as running, served(running.app) as url:
        path, headers = f"{url}/api/v1/campaigns/{SLUG}/draws", {"Authorization": f"Bearer {running.client.secret}"}
        headers |= {"Content-Type": "application/json", "Idempotency-Key": "k"}
        async with httpx2.AsyncClient() as web:
            content = _endless(2000) if chunked else b" " * 2_000_000
            response = await web.post(path, content=content, headers=headers)
            assert response.status_code == 413
            assert response.json()["code"] == "body_too_large"
            assert (await web.get(f"{url}/livez")).status_code == 200


async def test_a_client_that_sends_for_ever_is_cut_off(sqlite_url: str, redis_url: str, tmp_path: Path) -> None:
    """After a few megabytes the answer is given and the connection closed, however much is still to come."""
    async with stand(sqlite_url, redis_url, tmp_path) as running, served(running.app) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        head = (
            f"POST /api/v1/campaigns/{SLUG}/draws HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {running.client.secret}\r\n"
            "Idempotency-Key: k\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        writer.write(head.encode())
        piece = b"10000\r\n" + b" " * 65536 + b"\r\n"
        sent = 0
        try:
            while sent < 64 * 2**20:
                writer.write(piece)
                await writer.drain()
                sent += len(piece)
        except ConnectionError:
            pass
        writer.close()
        assert sent < 32 * 2**20
        assert (await running.client.web.get("/livez")).json() == json.loads('{"status": "alive"}')
        del reader
