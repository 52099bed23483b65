"""The chat simulator: a plain page per person that shows their thread and lets them write and tap."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from gamekit.bots.emulator.people import Act, People, buttons_of
from gamekit.bots.emulator.state import Platform
from gamekit.clock import Clock
from gamekit.http.body import check

STATIC = Path(__file__).parent / "static"
FIRST_USER = "7001000000000001"
MAX_SHOWN = 50
_POLICY = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"


@dataclass(frozen=True, slots=True)
class Bubble:
    """One item of a thread, as shown."""

    by: str
    text: str
    at: str
    buttons: tuple[dict[str, Any], ...] = ()
    code: str | None = None


@dataclass(frozen=True, slots=True)
class ThreadPage:
    """What the page shows."""

    root: str
    channel: str
    user: str
    users: tuple[str, ...]
    bubbles: tuple[Bubble, ...]
    window_open: bool


class Simulator:
    """The page, and the form it posts to."""

    def __init__(self, platform: Platform, people: People, clock: Clock) -> None:
        self._platform = platform
        self._people = people
        self._clock = clock
        environment = Environment(
            loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, undefined=StrictUndefined
        )
        self._template = environment.get_template("simulator.html")

    async def show(self, request: Request) -> Response:
        """The thread of `?user=` on `?channel=`, or of the first person."""
        channel = request.query_params.get("channel", self._platform.pages[0].channel)
        user = request.query_params.get("user", FIRST_USER)
        state = self._platform.by_channel(channel)
        if state is None or not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", user):
            return RedirectResponse(request.url_for("simulator"), 303)
        person = state.find(user)
        page = ThreadPage(
            root=request.scope.get("root_path", ""),
            channel=channel,
            user=user,
            users=tuple(dict.fromkeys([user, *list(reversed(state.people))[:MAX_SHOWN]])),
            bubbles=tuple(_bubble(item) for item in list(person.thread if person else ())[-MAX_SHOWN:]),
            window_open=person is not None and person.window_open(self._clock.now()),
        )
        headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-store"}
        return HTMLResponse(self._template.render(page=page), headers=headers)

    async def say(self, request: Request) -> Response:
        """Do what the form says, then show the thread again."""
        async with request.form(max_files=0, max_fields=10) as form:
            fields = {name: value for name, value in form.items() if isinstance(value, str) and value}
        act = check(Act, fields)
        await self._people.act(act)
        where = request.url_for("simulator").include_query_params(channel=act.channel, user=act.user)
        return RedirectResponse(where, 303)


def _bubble(item: dict[str, Any]) -> Bubble:
    at = item["at"].strftime("%H:%M:%S")
    if item["by"] == "user":
        return Bubble("user", item["text"], at)
    message = item["message"]
    payload = message.get("attachment", {}).get("payload", {})
    words = [message.get("text"), *(payload.get(name) for name in ("coupon_pre_message", "title", "subtitle", "text"))]
    text = "\n".join(word for word in words if word)
    return Bubble("page", text, at, tuple(buttons_of(message)), payload.get("coupon_code"))
