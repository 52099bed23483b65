"""What the emulated platform remembers: Pages, people, labels, and what it was sent. Bounded, only in memory."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

WINDOW = timedelta(hours=24)
MAX_SENT = 20_000
MAX_PEOPLE = 5_000
MAX_THREAD = 100
MAX_LABELS = 1_000


@dataclass(frozen=True, slots=True)
class EmulatedPage:
    """A Page of the emulated platform, and the app that is subscribed to it."""

    channel: str
    """The key under which gamekit knows it."""
    page_id: str
    app_secret: str = field(repr=False)
    verify_token: str = field(repr=False)
    access_token: str = field(repr=False)


class Standing(StrEnum):
    """Whether a person can be written to."""

    REACHABLE = "reachable"
    BLOCKED = "blocked"
    OPTED_OUT = "opted_out"
    UNKNOWN = "unknown"


@dataclass(slots=True)
class Person:
    """Someone with a thread with a Page."""

    psid: str
    active_at: datetime | None = None
    """When they last did something that opens the messaging window."""
    closed: bool = False
    """The script closed their window."""
    standing: Standing = Standing.REACHABLE
    labels: set[str] = field(default_factory=set)
    thread: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=MAX_THREAD))

    def window_open(self, now: datetime) -> bool:
        return not self.closed and self.active_at is not None and now - self.active_at <= WINDOW


@dataclass(slots=True)
class Label:
    """A custom label of a Page."""

    id: str
    name: str


class PageState:
    """One Page with its people and labels."""

    def __init__(self, page: EmulatedPage) -> None:
        self.page = page
        self.people: OrderedDict[str, Person] = OrderedDict()
        self.labels: list[Label] = []

    def find(self, psid: str) -> Person | None:
        return self.people.get(psid)

    def ensure(self, psid: str) -> Person:
        """The person, new where they have no thread yet; the longest unseen makes room."""
        person = self.people.setdefault(psid, Person(psid))
        self.people.move_to_end(psid)
        if len(self.people) > MAX_PEOPLE:
            self.people.popitem(last=False)
        return person


class Platform:
    """All Pages, and everything that was sent to them, oldest first."""

    def __init__(self, pages: tuple[EmulatedPage, ...]) -> None:
        self.pages = pages
        self.reset()

    def reset(self) -> None:
        """Forget everything but the Pages."""
        self.states = {page.page_id: PageState(page) for page in self.pages}
        self.sent: deque[dict[str, Any]] = deque(maxlen=MAX_SENT)
        self._number = 0

    def by_token(self, access_token: str) -> PageState | None:
        return next((one for one in self.states.values() if one.page.access_token == access_token), None)

    def by_channel(self, channel: str) -> PageState | None:
        return next((one for one in self.states.values() if one.page.channel == channel), None)

    def next_number(self) -> int:
        self._number += 1
        return self._number

    def record(self, state: PageState, recipient: str, kind: str, body: dict[str, Any], now: datetime) -> None:
        """Remember what the platform accepted."""
        self.sent.append(
            {"channel": state.page.channel, "recipient": recipient, "kind": kind, "body": body, "at": now.isoformat()}
        )
