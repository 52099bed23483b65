"""The emulated Graph API: Send API and custom labels, with Graph's error shapes, limits and messaging window."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from gamekit.bots.emulator.limits import Broken, check_message
from gamekit.bots.emulator.script import Failure, Mode, Rules
from gamekit.bots.emulator.state import MAX_LABELS, Label, PageState, Person, Platform, Standing
from gamekit.clock import Clock
from gamekit.entropy import Entropy
from gamekit.errors import MalformedRequest
from gamekit.http.body import parse_json, read_body
from gamekit.ids import token

BODY_LIMIT = 256 * 1024
LABELS_A_PAGE = 25
_PSID = re.compile(r"[0-9]{5,32}")
_TEMPORARY = {429: 613, 503: 2}


class GraphRefusal(Exception):
    """An answer in Graph's error shape."""

    def __init__(
        self, status: int, code: int, message: str, *, subcode: int | None = None, retry_after: int | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.subcode = subcode
        self.message = message
        self.retry_after = retry_after


class BrokenConnection(Response):
    """An answer that breaks off after its first byte, so that the server closes the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000")]})
        await send({"type": "http.response.body", "body": b"{", "more_body": True})


class Graph:
    """The endpoints, over one platform's state."""

    def __init__(self, platform: Platform, rules: Rules, clock: Clock, entropy: Entropy, *, https_only: bool) -> None:
        self._platform = platform
        self._rules = rules
        self._clock = clock
        self._entropy = entropy
        self._https_only = https_only

    def routes(self) -> list[Route]:
        return [
            Route("/{version}/{node}/messages", self._guarded("message", self._messages), methods=["POST"]),
            Route("/{version}/{node}/custom_labels", self._guarded("label", self._labels), methods=["GET", "POST"]),
            Route("/{version}/{node}/label", self._guarded("tag", self._label), methods=["POST", "DELETE"]),
        ]

    def _guarded(self, kind: str, act: Callable[[Request, PageState, Any], dict[str, Any]]) -> Any:
        """An endpoint that reads, checks the token, goes wrong as scripted, and else acts."""

        async def endpoint(request: Request) -> Response:
            try:
                return await self._answer(kind, act, request)
            except GraphRefusal as refusal:
                return self._refuse(refusal)

        return endpoint

    async def _answer(
        self, kind: str, act: Callable[[Request, PageState, Any], dict[str, Any]], request: Request
    ) -> Response:
        raw = await read_body(dict(request.scope["headers"]), request.receive, limit=BODY_LIMIT)
        try:
            body = parse_json(raw) if raw else {}
        except MalformedRequest as error:
            raise GraphRefusal(400, 100, f"(#100) {error.message}") from error
        state = self._page(request)
        failure = self._rules.take(kind, _user(request, body))
        if failure is None:
            return JSONResponse(act(request, state, body))
        if failure.mode is Mode.SLOW:
            await asyncio.sleep(failure.seconds)
            return JSONResponse(act(request, state, body))
        if failure.mode is Mode.ERROR:
            raise _scripted(failure)
        if failure.mode is not Mode.DROP:
            act(request, state, body)
        if failure.mode is Mode.TIMEOUT:
            await asyncio.sleep(failure.seconds)
        return BrokenConnection()

    def _page(self, request: Request) -> PageState:
        if not re.fullmatch(r"v[0-9]{1,2}\.[0-9]", request.path_params["version"]):
            raise GraphRefusal(400, 2500, "Unknown path components")
        header = request.headers.get("authorization", "").removeprefix("Bearer ")
        state = self._platform.by_token(header or request.query_params.get("access_token", ""))
        if state is None or self._rules.token_refused:
            raise GraphRefusal(400, 190, "Invalid OAuth access token.")
        return state

    def _own_page(self, request: Request, state: PageState) -> None:
        if request.path_params["node"] not in (state.page.page_id, "me"):
            raise GraphRefusal(400, 100, "Unsupported request: no such object, or no permission.", subcode=33)

    def _messages(self, request: Request, state: PageState, body: Any) -> dict[str, Any]:
        self._own_page(request, state)
        now = self._clock.now()
        match body:
            case {"recipient": {"id": str(psid)}, "messaging_type": "RESPONSE" | "UPDATE", "message": message}:
                person = self._person(state, psid)
            case {"messaging_type": "MESSAGE_TAG"}:
                raise GraphRefusal(400, 100, "(#100) This message tag is no longer supported.")
            case _:
                raise GraphRefusal(400, 100, "(#100) recipient[id], messaging_type and message are required.")
        try:
            check_message(message, https_only=self._https_only)
        except Broken as broken:
            raise GraphRefusal(400, 100, f"(#100) {broken}") from broken
        if not person.window_open(now):
            raise GraphRefusal(403, 10, "(#10) This message is sent outside of allowed window.", subcode=2018278)
        self._platform.record(state, psid, "message", body, now)
        person.thread.append({"by": "page", "message": message, "at": now})
        return {"recipient_id": psid, "message_id": f"m_{token(self._entropy, 24)}"}

    def _person(self, state: PageState, psid: str) -> Person:
        person = state.find(psid)
        if person is None and not self._rules.strict and _PSID.fullmatch(psid):
            person = state.ensure(psid)
            person.active_at = self._clock.now()
        if person is None or person.standing is Standing.UNKNOWN:
            raise GraphRefusal(400, 100, "(#100) No matching user found", subcode=2018001)
        if person.standing is Standing.BLOCKED:
            raise GraphRefusal(400, 551, "(#551) This person isn't available right now.", subcode=1545041)
        if person.standing is Standing.OPTED_OUT:
            raise GraphRefusal(403, 10, "(#10) This person stopped messages from this Page.", subcode=1893015)
        return person

    def _labels(self, request: Request, state: PageState, body: Any) -> dict[str, Any]:
        self._own_page(request, state)
        if request.method == "POST":
            # As on the real platform, the same name again makes another label.
            name = body.get("page_label_name") if isinstance(body, dict) else None
            if not isinstance(name, str) or not name.strip():
                raise GraphRefusal(400, 100, "(#100) page_label_name is required.")
            if len(state.labels) >= MAX_LABELS:
                raise GraphRefusal(400, 100, "(#100) The Page has too many labels.")
            label = Label(str(10_000_000_000 + self._platform.next_number()), name)
            state.labels.append(label)
            return {"id": label.id}
        after = request.query_params.get("after", "")
        start = next((at + 1 for at, label in enumerate(state.labels) if label.id == after), 0)
        shown = state.labels[start : start + LABELS_A_PAGE]
        answer: dict[str, Any] = {"data": [{"id": label.id, "page_label_name": label.name} for label in shown]}
        if shown:
            answer["paging"] = {"cursors": {"before": shown[0].id, "after": shown[-1].id}}
            if start + LABELS_A_PAGE < len(state.labels):
                answer["paging"]["next"] = str(request.url.include_query_params(after=shown[-1].id))
        return answer

    def _label(self, request: Request, state: PageState, body: Any) -> dict[str, Any]:
        label = next((one for one in state.labels if one.id == request.path_params["node"]), None)
        if label is None:
            raise GraphRefusal(400, 100, "Unsupported request: no such object, or no permission.", subcode=33)
        psid = _user(request, body) or ""
        person = self._person(state, psid)
        if request.method == "DELETE":
            person.labels.discard(label.name)
            return {"success": True}
        if label.name not in person.labels:
            person.labels.add(label.name)
            self._platform.record(state, psid, "tag", {"label": label.name, "label_id": label.id}, self._clock.now())
        return {"success": True}

    def _refuse(self, refusal: GraphRefusal) -> Response:
        error: dict[str, Any] = {"message": refusal.message, "type": "OAuthException", "code": refusal.code}
        if refusal.subcode is not None:
            error["error_subcode"] = refusal.subcode
        error["fbtrace_id"] = token(self._entropy, 11)
        headers = {} if refusal.retry_after is None else {"Retry-After": str(refusal.retry_after)}
        return JSONResponse({"error": error}, refusal.status, headers)


def _user(request: Request, body: Any) -> str | None:
    """Whom a call is about, where it says so."""
    match body:
        case {"recipient": {"id": str(psid)}} | {"user": str(psid)}:
            return psid
    return request.query_params.get("user")


def _scripted(failure: Failure) -> GraphRefusal:
    usual = _TEMPORARY.get(failure.status, 1 if failure.status >= 500 else 100)
    code = usual if failure.code is None else failure.code
    message = failure.message or f"(#{code}) As scripted."
    return GraphRefusal(failure.status, code, message, subcode=failure.subcode, retry_after=failure.retry_after)
