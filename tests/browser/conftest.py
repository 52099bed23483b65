from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Browser

from tests.browser.chromium import chromium

_players = count(10**15)


@dataclass(frozen=True, slots=True)
class Demo:
    """`gamekit demo`, running."""

    ready: dict[str, Any]

    @property
    def slug(self) -> str:
        """The campaign with the wheel."""
        return next(str(one["slug"]) for one in self.ready["campaigns"] if one["game"] == "wheel")

    def ask(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """One call of the API with the demo's own key."""
        headers = {"Authorization": f"Bearer {self.ready['api_key']}"}
        return httpx2.request(method, f"{self.ready['url']}/api/v1/{path}", headers=headers, timeout=20, **options)

    def player(self) -> dict[str, str]:
        """A player nobody has seen."""
        return {"channel": "messenger", "id": str(next(_players))}

    def link(self, player: dict[str, str]) -> str:
        """A new play link of this player."""
        answer = self.ask("POST", f"campaigns/{self.slug}/links", json={"player": player})
        assert answer.is_success, answer.text
        return str(answer.json()["url"])


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for a module; each test opens its own context."""
    # Not for the whole run: while Playwright's own event loop runs, no other test could start one.
    with chromium() as running:
        yield running


@pytest.fixture(scope="session")
def running_demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The whole product as a newcomer starts it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder: Path = tmp_path_factory.mktemp("demo")
    log = (folder / "log").open("w")
    command = [sys.executable, "-m", "gamekit.cli", "demo", "--port", str(port), "--data-dir", str(folder), "--json"]
    with log, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, (folder / "log").read_text()
        yield Demo(json.loads(line))
        process.terminate()
        process.wait(30)
