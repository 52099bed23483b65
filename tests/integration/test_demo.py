"""The whole product as a newcomer starts it, from outside: webhooks, the API and what the platform was sent."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from copy import deepcopy
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from redis import Redis

from gamekit.draws.verify import verify
from tests.demo import Demo, DemoEnded, call, until

FIXTURES: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "contract/fixtures/messenger_webhooks.json").read_text("utf-8")
)
_marks = count(1)


def webhook(name: str, demo: Demo, player: str, **changes: Any) -> dict[str, Any]:
    """A sample webhook of the platform, as this Page and this player would cause it."""
    payload: dict[str, Any] = deepcopy(FIXTURES[name])
    page = demo.ready["messenger"]["page_id"]
    entry = payload["entry"][0]
    event = entry["messaging"][0]
    entry["id"] = page
    event |= {"sender": {"id": player}, "recipient": {"id": page}}
    event["timestamp"] = entry["time"] = event["timestamp"] + next(_marks)
    if "message" in event:
        event["message"] |= {"mid": f"mid.{player}.{next(_marks)}"}
    for field, change in changes.items():
        event[field] |= change
    return payload


def keyword(demo: Demo, player: str) -> dict[str, Any]:
    return webhook("text_message", demo, player, message={"text": "抽獎"})


def ref(demo: Demo, player: str) -> dict[str, Any]:
    return webhook("link_referral", demo, player, referral={"ref": "summer"})


def get_started(demo: Demo, player: str) -> dict[str, Any]:
    payload = webhook("postback_referral", demo, player)
    del payload["entry"][0]["messaging"][0]["postback"]["referral"]
    return payload


def gate(demo: Demo) -> Redis:
    """A client of the demo's embedded server."""
    return Redis(unix_socket_path=str(demo.folder / "valkey.sock"))


def alive(pid: int) -> bool:
    """Whether that process runs; one that is dead and not yet taken note of does not."""
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


@pytest.mark.parametrize("payload", [keyword, ref, get_started], ids=lambda made: made.__name__)
def test_a_webhook_is_answered_with_a_button_that_opens_the_game(
    running_demo: Demo, payload: Callable[[Demo, str], dict[str, Any]]
) -> None:
    """A keyword, an m.me link and Get Started: the platform gets one message with the player's own play link."""
    player = running_demo.player()["id"]
    body = payload(running_demo, player)
    for _ in range(3):
        # The platform repeats what it thinks was not received.
        assert running_demo.hook(body).status_code == 200
    (message,) = running_demo.wait_for(player, 1)
    assert (message["channel"], message["kind"]) == ("messenger", "message")
    (button,) = message["body"]["message"]["attachment"]["payload"]["buttons"]
    assert button["type"] == "web_url"
    assert button["url"].startswith(f"{running_demo.ready['url']}/play/{running_demo.slug}?t=")
    assert call("GET", button["url"]).status_code == 200
    assert len(running_demo.sent(player)) == 1


def test_a_wrong_signature_is_refused(running_demo: Demo) -> None:
    """The signature covers the raw bytes and must be the app's; whoever has no secret is not answered."""
    player = running_demo.player()["id"]
    payload = keyword(running_demo, player)
    assert running_demo.hook(payload, secret="another secret").status_code == 403
    unsigned = call("POST", f"{running_demo.ready['url']}/hooks/messenger", json=payload)
    assert unsigned.status_code == 403
    running_demo.hook(keyword(running_demo, other := running_demo.player()["id"]))
    running_demo.wait_for(other, 1)
    assert running_demo.sent(player) == []


def test_a_draw_is_repeated_by_its_key_also_from_an_empty_gate(running_demo: Demo) -> None:
    """201, then 200 with the same draws and the header; another body under the key is refused."""
    player = running_demo.player()
    first = running_demo.draw("curl", player)
    assert (first.status_code, "Idempotent-Replayed" in first.headers) == (201, False)
    assert first.json()["chances_left"] == 29
    for flush in (False, True):
        if flush:
            with gate(running_demo) as redis:
                redis.flushall()
        again = running_demo.draw("curl", player)
        assert (again.status_code, again.headers["Idempotent-Replayed"]) == (200, "true")
        assert again.json() == first.json()
    assert running_demo.draw("curl", player, count=2).status_code == 422
    assert running_demo.draw("next", player).json()["chances_left"] == 28


def test_the_coupon_and_the_tag_arrive_once(running_demo: Demo) -> None:
    """Every win of a player is told in the chat with its code, and tagged, once each, also after repeats."""
    player = running_demo.player()
    running_demo.hook(keyword(running_demo, player["id"]))
    running_demo.wait_for(player["id"], 1)
    answers = [running_demo.draw(f"all-{n}", player, count=10).json() for n in (1, 2, 1, 2)]
    wins = [draw for answer in answers[:2] for draw in answer["draws"] if draw["outcome"] == "win"]
    codes = sorted(draw["coupon"]["code"] for draw in wins if draw["coupon"])
    tags = {f"won-{draw['prize']['key']}".replace("ten-", "10-") for draw in wins if draw["prize"]["kind"] != "points"}
    assert codes
    sent = running_demo.wait_for(player["id"], 1 + len(wins) + len(tags))
    told = json.dumps([one["body"] for one in sent if one["kind"] == "message"], ensure_ascii=False)
    for code in set(codes):
        assert told.count(code) >= codes.count(code)
    assert {one["body"]["label"] for one in sent if one["kind"] == "tag"} == tags
    assert [one["kind"] for one in sent].count("message") == 1 + len(wins)
    assert [one["kind"] for one in sent].count("tag") == len(tags)
    until(lambda: _waiting(running_demo) == 0)
    assert running_demo.sent(player["id"]) == sent


def _waiting(demo: Demo) -> int:
    """Deliveries that are not sent yet, as the metrics say; the outbox is idle where the oldest is of no age."""
    metrics = call("GET", f"{demo.ready['url']}/metrics").text.splitlines()
    return sum(float(line.split()[-1]) > 0 for line in metrics if line.startswith("gamekit_outbox_oldest"))


def test_what_was_printed_works(running_demo: Demo) -> None:
    """The play link, the simulator, the documentation and the sign-in page are there; so is readiness."""
    ready = running_demo.ready
    assert ready["admin"]["email"]
    assert ready["admin"]["password"]
    for url in (
        *(one["play_url"] for one in ready["campaigns"]),
        ready["simulator_url"],
        ready["admin"]["url"],
        f"{ready['url']}/api/docs",
        f"{ready['url']}/livez",
        f"{ready['url']}/readyz",
    ):
        assert call("GET", url, follow_redirects=True).status_code == 200, url
    assert call("GET", f"{ready['url']}/api/v1/campaigns").status_code == 401


def test_the_exported_ledger_verifies(running_demo: Demo) -> None:
    """What the API streams is what `gamekit verify` proves."""
    player = running_demo.player()
    running_demo.draw("export", player, count=5)
    exported = running_demo.ask("GET", f"campaigns/{running_demo.slug}/export.jsonl?run=live")
    assert verify(exported.content.splitlines()).draws >= 5


@pytest.fixture(scope="module")
def own_demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A demo that may be killed."""
    demo = Demo(tmp_path_factory.mktemp("demos") / "own")
    demo.start()
    yield demo
    demo.stop()


def test_nothing_is_lost_when_it_is_killed_or_stopped(own_demo: Demo) -> None:
    """kill -9, and a clean stop: data and credentials are there again, and the same key tells the same draw."""
    demo, player = own_demo, own_demo.player()
    first, credentials = demo.draw("curl", player).json(), dict(demo.ready)
    with gate(demo) as redis:
        server = int(redis.info("server")["process_id"])
    demo.kill()
    assert alive(server)
    demo.start()
    with gate(demo) as redis:
        # The server that outlived its parent is used again.
        assert int(redis.info("server")["process_id"]) == server
    again = demo.draw("curl", player)
    assert (again.headers["Idempotent-Replayed"], again.json()) == ("true", first)

    assert demo.stop() == 0
    assert demo.printed == ""
    until(lambda: not alive(server))
    assert not (demo.folder / "valkey.sock").exists()
    assert "Traceback" not in demo.log.read_text()
    demo.start()
    for name in ("api_key", "admin", "messenger", "url"):
        assert demo.ready[name] == credentials[name]
    again = demo.draw("curl", player)
    assert (again.headers["Idempotent-Replayed"], again.json()) == ("true", first)
    assert demo.draw("next", player).json()["chances_left"] == first["chances_left"] - 1


def test_its_secrets_are_for_its_owner_only(own_demo: Demo) -> None:
    """The file that keeps them is not readable by others."""
    assert (own_demo.folder / "demo.json").stat().st_mode & 0o077 == 0


def test_a_port_that_is_taken_is_told(own_demo: Demo, tmp_path: Path) -> None:
    """It says so and ends with an error, and leaves no server behind."""
    second = Demo(tmp_path / "second", port=int(urlsplit(own_demo.ready["url"]).port or 0))
    with pytest.raises(DemoEnded) as ended:
        second.start()
    code, log = ended.value.args
    assert code > 0
    assert "address already in use" in log
    assert "Traceback" not in log
    assert not (second.folder / "valkey.sock").exists()
    assert own_demo.draw("still", own_demo.player()).status_code == 201


def test_ctrl_c_ends_it_quietly_and_leaves_nothing_running(own_demo: Demo) -> None:
    """No traceback, exit code 0, and no process that names the data folder."""
    assert own_demo.stop(signal.SIGINT) == 0
    assert own_demo.printed == ""
    assert "Traceback" not in own_demo.log.read_text()
    folder = str(own_demo.folder).encode()
    left = [
        entry
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and int(entry.name) != os.getpid() and folder in _command(entry)
    ]
    own_demo.start()
    assert left == []


def _command(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""
