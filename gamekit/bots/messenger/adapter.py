"""Sends to Messenger's Send API, and mirrors tags as custom labels.

Send API: send-messages, 2026-05-05. Labels: custom labels, 2026-03-18. One HTTP client per process is handed in and
closed by its maker; time-outs are this module's. No answer of the platform raises.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2

from gamekit.bots.messenger.answers import error_of, judge, message_id
from gamekit.bots.messenger.render import render
from gamekit.channels.service import ConnectedChannel
from gamekit.deliveries.adapter import SendResult, Verdict
from gamekit.deliveries.message import Message

LABELS_A_PAGE = 100
MAX_LABEL_PAGES = 100

_NOT_WRITTEN = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


class MessengerAdapter:
    """Fulfils `gamekit.deliveries.adapter.Adapter` for Messenger."""

    def __init__(
        self, client: httpx2.AsyncClient, *, graph_url: str, graph_version: str, timeout_seconds: float = 10.0
    ) -> None:
        self._client = client
        self._base = f"{graph_url.rstrip('/')}/{graph_version}"
        self._timeout = httpx2.Timeout(timeout_seconds, connect=5.0)
        self._labels: dict[str, dict[str, str]] = {}
        self._listing: dict[str, asyncio.Lock] = {}

    async def send(self, channel: ConnectedChannel, recipient: str, message: Message) -> SendResult:
        """One call of the Send API. Answers to a player are RESPONSE: allowed while their window is open."""
        body = {"recipient": {"id": recipient}, "messaging_type": "RESPONSE", "message": render(message)}
        answer = await self._call(channel, "POST", f"{channel.account_id}/messages", json=body)
        if isinstance(answer, SendResult):
            return answer
        return SendResult(Verdict.SENT, platform_id=message_id(answer))

    async def tag(self, channel: ConnectedChannel, recipient: str, tag: str) -> SendResult:
        """Put the label named `tag` on the recipient, making the label where the Page has none."""
        for fresh in (False, True):
            label = await self._label(channel, tag, fresh=fresh)
            if isinstance(label, SendResult):
                return label
            answer = await self._call(channel, "POST", f"{label}/label", params={"user": recipient})
            if not isinstance(answer, SendResult):
                return SendResult(Verdict.SENT)
            if answer.verdict is not Verdict.REJECTED or "100/2018001" in (answer.reason or ""):
                return answer
            # Someone may have deleted the label at the platform: look it up once more.
        return answer

    async def _label(self, channel: ConnectedChannel, name: str, *, fresh: bool) -> str | SendResult:
        """The id of the Page's label, made where there is none.

        Making one twice makes two, so the Page's labels are listed first. Where two processes made one at once, the
        list shows both, and everyone takes the lowest id.
        """
        page = channel.account_id
        async with self._listing.setdefault(page, asyncio.Lock()):
            if not fresh and (known := self._labels.get(page, {}).get(name)):
                return known
            if failed := await self._list_labels(channel):
                return failed
            if known := self._labels[page].get(name):
                return known
            made = await self._call(channel, "POST", f"{page}/custom_labels", json={"page_label_name": name})
            if isinstance(made, SendResult):
                return made
            if failed := await self._list_labels(channel):
                return failed
            listed = self._labels[page].setdefault(name, str(made.get("id", "")) if isinstance(made, dict) else "")
            return listed or SendResult(Verdict.RETRY, "Messenger made a label without telling its id.")

    async def _list_labels(self, channel: ConnectedChannel) -> SendResult | None:
        found: dict[str, str] = {}
        after = ""
        for _ in range(MAX_LABEL_PAGES):
            params = {"fields": "id,page_label_name", "limit": str(LABELS_A_PAGE)} | ({"after": after} if after else {})
            answer = await self._call(channel, "GET", f"{channel.account_id}/custom_labels", params=params)
            if isinstance(answer, SendResult):
                return answer
            listed = answer if isinstance(answer, dict) else {}
            for label in listed.get("data") or ():
                match label:
                    case {"page_label_name": str(name), "id": str(id_)}:
                        found[name] = min(found.get(name, id_), id_, key=lambda one: (len(one), one))
            match listed.get("paging"):
                case {"next": str(), "cursors": {"after": str(after)}}:
                    pass
                case _:
                    after = ""
            if not after:
                break
        self._labels[channel.account_id] = found
        return None

    async def _call(
        self,
        channel: ConnectedChannel,
        method: str,
        path: str,
        *,
        json: dict[str, Any] | None = None,
        params: dict[str, str] | None = None,
    ) -> Any | SendResult:
        """The answer's JSON where it is a success, else the result that it stands for."""
        try:
            response = await self._client.request(
                method,
                f"{self._base}/{path}",
                json=json,
                params=params,
                headers={"Authorization": f"Bearer {channel.access_token}"},
                timeout=self._timeout,
                follow_redirects=False,
            )
        except _NOT_WRITTEN as error:
            return SendResult(Verdict.RETRY, f"Messenger could not be reached ({type(error).__name__}).")
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol, httpx2.LocalProtocolError) as error:
            return SendResult(Verdict.RETRY, f"The request could not be made ({type(error).__name__}).")
        except httpx2.RequestError as error:
            how = type(error).__name__
            return SendResult(Verdict.UNKNOWN, f"The connection was lost ({how}); it may have been sent.")
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if response.is_success and isinstance(answer, dict) and error_of(answer) is None:
            return answer
        return judge(response.status_code, answer, response.headers)
