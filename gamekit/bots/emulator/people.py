"""A person's side of the emulated platform: what they do becomes signed webhooks to the product, as Meta sends them."""

from __future__ import annotations

import json
from typing import Any, Literal

import httpx2
from pydantic import BaseModel, ConfigDict, Field

from gamekit.bots.emulator.script import Rules, Script
from gamekit.bots.emulator.state import EmulatedPage, PageState, Person, Platform
from gamekit.bots.messenger.signature import sign
from gamekit.clock import Clock
from gamekit.entropy import Entropy
from gamekit.errors import InvalidInput, Problem
from gamekit.ids import token

WEBHOOK_SECONDS = 20.0
MAX_HELD = 1_000


class Act(BaseModel):
    """Something a person does."""

    model_config = ConfigDict(extra="forbid", strict=True)

    channel: str = Field(default="messenger", max_length=64)
    user: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    does: Literal["text", "tap", "ref", "get_started", "comment", "photo", "follow"]
    text: str | None = Field(default=None, min_length=1, max_length=2_000)
    """What is written, in a message or a comment."""
    payload: str | None = Field(default=None, min_length=1, max_length=1_000)
    """Of the button tapped."""
    title: str | None = Field(default=None, min_length=1, max_length=200)
    """Of the button tapped, as shown in the thread."""
    ref: str | None = Field(default=None, min_length=1, max_length=2_083)
    """Of the m.me link opened."""


class People:
    """Turns acts into webhooks, and sends them."""

    def __init__(
        self,
        platform: Platform,
        rules: Rules,
        *,
        clock: Clock,
        entropy: Entropy,
        client: httpx2.AsyncClient,
        webhook_url: str,
    ) -> None:
        self._platform = platform
        self._rules = rules
        self._clock = clock
        self._entropy = entropy
        self._client = client
        self._webhook_url = webhook_url
        self._held: list[tuple[EmulatedPage, bytes]] = []

    def reset(self) -> None:
        """Forget the webhooks kept back."""
        self._held.clear()

    def change(self, script: Script) -> None:
        """Change the people a script names. Raises `InvalidInput`, and changes nobody, where a channel is unknown."""
        states = [self._state(change.channel, f"people[{at}].channel") for at, change in enumerate(script.people)]
        for change, state in zip(script.people, states, strict=True):
            person = state.ensure(change.user)
            if change.standing is not None:
                person.standing = change.standing
            if change.window is not None:
                person.closed = change.window == "closed"
                person.active_at = person.active_at if person.closed else self._clock.now()

    async def act(self, act: Act) -> dict[str, Any]:
        """Do it. Answers `{"opens": url}` for a button that opens a page, else the webhooks sent with their statuses.

        Raises `InvalidInput` where the act lacks something or the channel is unknown.
        """
        state = self._state(act.channel, "channel")
        new = state.find(act.user) is None
        if act.does == "comment":
            return await self._send(state.page, self._comment(state, act))
        if act.does == "tap" and (url := _opened_by(state.find(act.user), act)):
            return {"opens": url, "webhooks": []}
        update = self._update(state, act, new=new)
        person = state.ensure(act.user)
        person.active_at, person.closed = self._clock.now(), False
        shown = act.text or act.title or act.payload or act.ref or act.does
        person.thread.append({"by": "user", "text": shown, "does": act.does, "at": self._clock.now()})
        return await self._send(state.page, {"messaging": [update]})

    def _state(self, channel: str, field: str) -> PageState:
        state = self._platform.by_channel(channel)
        if state is None:
            known = ", ".join(page.channel for page in self._platform.pages)
            raise _invalid(field, f"must be one of: {known}")
        return state

    def _update(self, state: PageState, act: Act, *, new: bool) -> dict[str, Any]:
        update: dict[str, Any] = {
            "sender": {"id": act.user},
            "recipient": {"id": state.page.page_id},
            "timestamp": self._milliseconds(),
        }
        mid = f"m_{token(self._entropy, 40)}"
        match act.does:
            case "text":
                update["message"] = {"mid": mid, "text": _needed(act.text, "text", "the words written")}
            case "photo":
                picture = {"type": "image", "payload": {"url": "https://scontent.example.com/picture.jpg"}}
                update["message"] = {"mid": mid, "attachments": [picture]}
            case "tap":
                title, payload = _tapped(state.find(act.user), act)
                update["postback"] = {"title": title, "payload": payload, "mid": mid}
            case "get_started":
                update["postback"] = _get_started(mid, act.ref, act.payload or "GET_STARTED")
            case "ref":
                _needed(act.ref, "ref", "the link's ref")
                if new:
                    # A thread that does not exist yet begins with Get Started, which carries the link's ref.
                    update["postback"] = _get_started(mid, act.ref, "GET_STARTED")
                else:
                    update["referral"] = _referral(act.ref)
            case _:
                raise _invalid("does", "must be text, photo, tap, get_started, ref or comment; Messenger has no follow")
        return update

    def _comment(self, state: PageState, act: Act) -> dict[str, Any]:
        post = f"{state.page.page_id}_1"
        value = {
            "item": "comment",
            "verb": "add",
            "comment_id": f"{state.page.page_id}_{self._platform.next_number() + 1}",
            "post_id": post,
            "parent_id": post,
            "from": {"id": act.user, "name": "Someone"},
            "message": _needed(act.text, "text", "the comment's words"),
            "created_time": self._milliseconds() // 1_000,
        }
        return {"changes": [{"field": "feed", "value": value}]}

    async def _send(self, page: EmulatedPage, fields: dict[str, Any]) -> dict[str, Any]:
        entry = {"id": page.page_id, "time": self._milliseconds()} | fields
        held = self._held
        held.append((page, as_meta_writes({"object": "page", "entry": [entry]})))
        if len(held) < min(self._rules.webhooks.hold, MAX_HELD):
            return {"webhooks": [], "held": len(held)}
        self._rules.webhooks.hold = 0
        due = [*reversed(held)]
        held.clear()
        sent = [await self._deliver(page, body) for page, body in due for _ in range(self._rules.webhooks.copies)]
        return {"webhooks": sent, "status": sent[-1]["status"]}

    async def _deliver(self, page: EmulatedPage, body: bytes) -> dict[str, Any]:
        """Send one webhook until it is answered 200 or the retries are used up."""
        headers = {"Content-Type": "application/json", "X-Hub-Signature-256": sign(body, page.app_secret)}
        statuses: list[int] = []
        for _ in range(1 + self._rules.webhooks.retries):
            try:
                answer = await self._client.post(
                    self._webhook_url, content=body, headers=headers, timeout=WEBHOOK_SECONDS
                )
                statuses.append(answer.status_code)
            except httpx2.RequestError:
                statuses.append(0)
            if statuses[-1] == 200:
                break
        return {"status": statuses[-1], "attempts": len(statuses), "statuses": statuses}

    def _milliseconds(self) -> int:
        return int(self._clock.now().timestamp() * 1_000)


def as_meta_writes(payload: dict[str, Any]) -> bytes:
    r"""JSON as Meta sends and signs it: no spaces, beyond ASCII `\u` with lower-case hex, and `/` as `\/`."""
    return json.dumps(payload, ensure_ascii=True, separators=(",", ":")).replace("/", "\\/").encode("ascii")


def _referral(ref: str | None) -> dict[str, Any]:
    return {"ref": ref, "source": "SHORTLINK", "type": "OPEN_THREAD"}


def _get_started(mid: str, ref: str | None, payload: str) -> dict[str, Any]:
    postback: dict[str, Any] = {"title": "Get Started", "payload": payload, "mid": mid}
    return postback | {"referral": _referral(ref)} if ref else postback


def buttons_of(message: dict[str, Any]) -> list[dict[str, Any]]:
    """The buttons a message shows, as the Send API had them; a coupon's link is one."""
    payload = message.get("attachment", {}).get("payload", {})
    if payload.get("template_type") == "coupon" and "coupon_url" in payload:
        title = payload.get("coupon_url_button_title", "Open")
        return [{"type": "web_url", "title": title, "url": payload["coupon_url"]}]
    buttons: list[dict[str, Any]] = payload.get("buttons", [])
    return buttons


def _find_button(person: Person | None, act: Act) -> dict[str, Any] | None:
    """The latest button in the thread with the title or payload tapped; the latest of all where neither is given."""
    for item in reversed(person.thread if person else ()):
        for button in buttons_of(item.get("message", {})):
            if act.title in (None, button["title"]) and act.payload in (None, button.get("payload")):
                return button
    return None


def _opened_by(person: Person | None, act: Act) -> str | None:
    button = _find_button(person, act)
    return button.get("url") if button else None


def _tapped(person: Person | None, act: Act) -> tuple[str, str]:
    """Title and payload of the button tapped; the payload may be of one outside the thread, as in a menu."""
    button = _find_button(person, act) or {}
    payload = act.payload or button.get("payload")
    if payload is None:
        raise _invalid("title", "must be the title of a button in this person's thread; or give a payload")
    return act.title or button.get("title") or payload, payload


def _needed(value: str | None, field: str, what: str) -> str:
    if value is None:
        raise _invalid(field, f"is missing: {what}")
    return value


def _invalid(field: str, message: str) -> InvalidInput:
    return InvalidInput(problems=(Problem(field, message),))
