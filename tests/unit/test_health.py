"""`/livez`, `/readyz` and `/metrics`."""

from __future__ import annotations

import asyncio

import httpx2
import pytest
from starlette.routing import Router

from gamekit.entropy import SystemEntropy
from gamekit.http import health
from gamekit.http.front import Front
from gamekit.http.health import Check, Finding, health_routes
from gamekit.http.metrics import exposition


def client(**checks: Check) -> httpx2.AsyncClient:
    front = Front(Router([*health_routes(checks), exposition()]), SystemEntropy())
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=front), base_url="http://test")


async def fine() -> Finding:
    return Finding(ready=True)


async def behind() -> Finding:
    return Finding(ready=False, detail="the outbox is 12 minutes behind")


async def broken() -> Finding:
    raise ConnectionError("postgresql://user:password@host")


async def stuck() -> Finding:
    await asyncio.sleep(60)
    return Finding(ready=True)


async def test_a_process_that_runs_is_alive_whatever_its_servers_do() -> None:
    """Liveness asks nobody, so a database that is away restarts no process."""
    async with client(sql=broken) as web:
        assert (await web.get("/livez")).json() == {"status": "alive"}


async def test_ready_when_every_check_is() -> None:
    """The answer names what was looked at."""
    async with client(sql=fine, redis=fine) as web:
        response = await web.get("/readyz")
    assert response.status_code == 200
    assert response.json() == {"status": "ready", "checks": {"sql": "ok", "redis": "ok"}}


async def test_not_ready_names_what_is_not_and_tells_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that says no, raises, or does not answer in time makes the process not ready; all are asked at once."""
    monkeypatch.setattr(health, "CHECK_SECONDS", 0.05)
    async with client(sql=fine, outbox=behind, redis=broken, migrations=stuck) as web:
        response = await web.get("/readyz")
    assert response.status_code == 503
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["retry-after"]
    found = response.json()
    assert found["code"] == "not_ready"
    assert found["checks"] == {
        "sql": "ok",
        "outbox": "the outbox is 12 minutes behind",
        "redis": "ConnectionError",
        "migrations": "no answer within 0.05 s",
    }
    assert "password" not in response.text


async def test_metrics_are_in_prometheus_text() -> None:
    """The counters of HTTP are among them, under their routes."""
    async with client() as web:
        await web.get("/livez")
        response = await web.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    assert 'gamekit_http_requests_total{method="GET",route="/livez",status="200"}' in response.text
    assert 'gamekit_http_seconds_bucket{le="0.001",method="GET",route="/livez"}' in response.text
