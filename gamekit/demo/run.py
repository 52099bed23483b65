"""Starts the demo: sets up a data folder, seeds it, serves product and emulated platform, and says where everything is."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from socket import socket
from typing import Any

import typer
import uvicorn
from starlette.routing import Mount

from gamekit.accounts.models import Role
from gamekit.accounts.service import Users
from gamekit.bots.emulator.app import Emulator
from gamekit.bots.emulator.state import EmulatedPage
from gamekit.channels.service import ConnectedChannel
from gamekit.config import Settings, load_settings
from gamekit.demo.seed import demo_campaign, seed
from gamekit.entropy import Entropy, SystemEntropy
from gamekit.ids import token
from gamekit.logs import configure_logging
from gamekit.main import Gamekit, app_of, build
from gamekit.storage.migrate import upgrade

HOST = "127.0.0.1"
PLATFORM_PATH = "/platform"
PAGE_ID = "404217156637689"
PLAYER = "1423587017700273"
"""The person whose play link is printed."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """What the demo makes up at its first start and keeps in its data folder."""

    secret_key: str
    app_secret: str
    verify_token: str
    access_token: str
    password: str
    api_key: str = ""


def run_demo(*, port: int, data_dir: Path, as_json: bool) -> None:
    """Serves until a signal. Prints where everything is once it is ready; as one JSON line with `as_json`."""
    data_dir.mkdir(parents=True, exist_ok=True)
    secrets = _secrets(data_dir / "demo.json", SystemEntropy())
    url = f"http://{HOST}:{port}"
    settings = load_settings(
        secret_key=secrets.secret_key,
        data_dir=data_dir,
        public_url=url,
        graph_url=url + PLATFORM_PATH,
        log_level=os.environ.get("GAMEKIT_LOG_LEVEL", "WARNING"),
    )
    configure_logging(settings.log_level, settings.log_format)
    asyncio.run(_serve(settings, secrets, port=port, data_dir=data_dir, as_json=as_json))


async def _serve(settings: Settings, secrets: Secrets, *, port: int, data_dir: Path, as_json: bool) -> None:
    gamekit = build(settings)
    await upgrade(gamekit.records.sql)
    secrets = await _prepare(gamekit, secrets, data_dir / "demo.json")
    page = EmulatedPage("messenger", PAGE_ID, secrets.app_secret, secrets.verify_token, secrets.access_token)
    emulator = Emulator(
        (page,),
        webhook_url=f"{settings.public_url}/hooks/messenger",
        clock=gamekit.records.clock,
        entropy=gamekit.records.entropy,
    )
    app = app_of(gamekit, extra=(Mount(PLATFORM_PATH, emulator.app),))
    config = uvicorn.Config(
        app, host=HOST, port=port, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=20
    )
    facts = _facts(gamekit, secrets)
    server = _TellingServer(config, json.dumps(facts, ensure_ascii=False) if as_json else _sheet(facts))
    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn takes the signals over, and once it has ended raises them again; to end is what was asked for.
        signal.signal(number, lambda *_: None)
    await server.serve()
    await emulator.close()
    if not server.started:
        raise SystemExit(1)


class _TellingServer(uvicorn.Server):
    """Says where everything is as soon as it listens."""

    def __init__(self, config: uvicorn.Config, told: str) -> None:
        super().__init__(config)
        self._told = told

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            typer.echo(self._told)


async def _prepare(gamekit: Gamekit, secrets: Secrets, path: Path) -> Secrets:
    """Everything a newcomer needs in the database, made once."""
    records = gamekit.records
    await seed(records)
    await records.channels.connect(
        ConnectedChannel(
            "messenger", "messenger", PAGE_ID, secrets.app_secret, secrets.verify_token, secrets.access_token
        )
    )
    if secrets.api_key:
        return secrets
    made = await records.keys.create("Demo", ("draw", "read", "manage"))
    await Users(records.sql, records.clock).add(_email(), secrets.password, Role.OWNER)
    complete = Secrets(
        secrets.secret_key,
        secrets.app_secret,
        secrets.verify_token,
        secrets.access_token,
        secrets.password,
        made.secret,
    )
    _save(path, complete)
    return complete


def _secrets(path: Path, entropy: Entropy) -> Secrets:
    if path.exists():
        return Secrets(**json.loads(path.read_text("utf-8")))
    secret_key, app_secret, verify_token, access_token = (token(entropy, 40) for _ in range(4))
    made = Secrets(secret_key, app_secret, verify_token, access_token, token(entropy, 16))
    _save(path, made)
    return made


def _save(path: Path, secrets: Secrets) -> None:
    fields = {name: getattr(secrets, name) for name in Secrets.__slots__}
    path.touch(mode=0o600)
    path.write_text(json.dumps(fields), "utf-8")


def _email() -> str:
    return "owner@three-pm.example"


def _facts(gamekit: Gamekit, secrets: Secrets) -> dict[str, Any]:
    """What a newcomer, or a program, must know."""
    document, url = demo_campaign(), gamekit.records.settings.public_url
    play_url, _ = gamekit.records.play_link(document.slug, "messenger", PLAYER)
    platform = url + PLATFORM_PATH
    return {
        "url": url,
        "admin": {"url": f"{url}/admin", "email": _email(), "password": secrets.password},
        "api_key": secrets.api_key,
        "campaigns": [{"slug": document.slug, "game": document.game, "play_url": play_url}],
        "simulator_url": f"{platform}/",
        "messenger": {
            "page_id": PAGE_ID,
            "app_secret": secrets.app_secret,
            "verify_token": secrets.verify_token,
            "emulator_url": platform,
        },
    }


def _sheet(facts: dict[str, Any]) -> str:
    """The same for a person."""
    slug = facts["campaigns"][0]["slug"]
    return f"""
  gamekit is running at {facts["url"]}

  Chat simulator   {facts["simulator_url"]}
                   Type 抽獎 and tap the button.
  Play at once     {facts["campaigns"][0]["play_url"]}
  Admin pages      {facts["admin"]["url"]}
                   {facts["admin"]["email"]} / {facts["admin"]["password"]}
  API              {facts["url"]}/api/docs

  Draw from a terminal:

    curl -X POST {facts["url"]}/api/v1/campaigns/{slug}/draws \\
      -H 'Authorization: Bearer {facts["api_key"]}' -H 'Idempotency-Key: first' \\
      -H 'Content-Type: application/json' \\
      -d '{{"player": {{"channel": "messenger", "id": "{PLAYER}"}}}}'

  Ctrl+C stops it.
"""
