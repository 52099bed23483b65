"""`gamekit demo` as a newcomer starts it: a process of its own, reached by HTTP alone."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx2

from gamekit.bots.messenger.signature import sign

_players = count(10**15)


class DemoEnded(Exception):
    """It ended before it was ready: its exit code, and its log."""


@dataclass(slots=True)
class Demo:
    """A demo in a data folder; `start` and `stop` may be called again and again."""

    folder: Path
    port: int = 0
    ready: dict[str, Any] = field(default_factory=dict)
    """What it printed once it was ready."""
    printed: str = ""
    """What else it printed by its last end."""
    _process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Returns once it printed that it is ready."""
        self.port = self.port or _free_port()
        command = [sys.executable, "-m", "gamekit.cli", "demo", "--json"]
        command += ["--port", str(self.port), "--data-dir", str(self.folder)]
        self.folder.mkdir(exist_ok=True)
        with self.log.open("a") as log:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            code = self._ended()
            raise DemoEnded(code, self.log.read_text())
        self.ready = json.loads(line)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Ends it as a service manager or, with SIGINT, a terminal would; its exit code. 0 where none runs."""
        if self._process is None:
            return 0
        self._process.send_signal(how)
        return self._ended()

    def kill(self) -> None:
        """kill -9."""
        self.stop(signal.SIGKILL)

    def _ended(self) -> int:
        assert self._process is not None
        with self._process as process:
            self._process = None
            try:
                self.printed, _ = process.communicate(timeout=30)
            finally:
                process.kill()
        return process.returncode

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def slug(self) -> str:
        """The campaign with the wheel."""
        return next(str(one["slug"]) for one in self.ready["campaigns"] if one["game"] == "wheel")

    def ask(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """One call of the API with the demo's own key."""
        headers = {"Authorization": f"Bearer {self.ready['api_key']}", **options.pop("headers", {})}
        return call(method, f"{self.ready['url']}/api/v1/{path}", headers=headers, **options)

    def draw(self, key: str, player: dict[str, str], **body: Any) -> httpx2.Response:
        """One draw request."""
        asked = {"player": player, **body}
        return self.ask("POST", f"campaigns/{self.slug}/draws", json=asked, headers={"Idempotency-Key": key})

    def player(self) -> dict[str, str]:
        """A player nobody has seen."""
        return {"channel": "messenger", "id": str(next(_players))}

    def link(self, player: dict[str, str]) -> str:
        """A new play link of this player."""
        answer = self.ask("POST", f"campaigns/{self.slug}/links", json={"player": player})
        assert answer.is_success, answer.text
        return str(answer.json()["url"])

    def hook(self, payload: object, *, secret: str | None = None) -> httpx2.Response:
        """A webhook of the platform, signed with the app's secret or another."""
        raw = json.dumps(payload).encode()
        signature = sign(raw, secret or self.ready["messenger"]["app_secret"])
        headers = {"X-Hub-Signature-256": signature, "Content-Type": "application/json"}
        return call("POST", f"{self.ready['url']}/hooks/messenger", content=raw, headers=headers)

    def sent(self, player: str) -> list[dict[str, Any]]:
        """What the emulated platform was sent for a player, oldest first."""
        everything = call("GET", f"{self.ready['messenger']['emulator_url']}/_sent").json()
        return [one for one in everything if one["recipient"] == player]

    def wait_for(self, player: str, number: int) -> list[dict[str, Any]]:
        """The same once there are so many."""
        return list(until(lambda: found if len(found := self.sent(player)) >= number else None))


def call(method: str, url: str, **options: Any) -> httpx2.Response:
    """One request to this machine."""
    with httpx2.Client(trust_env=False, timeout=20) as client:
        return client.request(method, url, **options)


def until(holds: Callable[[], Any], *, seconds: float = 15.0) -> Any:
    """What `holds` returns once it is true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := holds():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come true in time")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
