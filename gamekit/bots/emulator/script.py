"""What the emulated platform was told to do wrong, and to whom. Checked on the way in, field by field."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from gamekit.bots.emulator.state import Standing


class Mode(StrEnum):
    """How a call goes wrong."""

    ERROR = "error"
    """It is refused with a status and a Graph error."""
    DROP = "drop"
    """The connection breaks before anything was accepted."""
    DROP_AFTER = "drop_after"
    """It is accepted, then the connection breaks."""
    TIMEOUT = "timeout"
    """It is accepted, and the answer does not come for `seconds`; then the connection breaks."""
    SLOW = "slow"
    """It is done as usual, `seconds` late."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Failure(_Part):
    """The next `times` calls of a kind go wrong in one way."""

    kind: Literal["message", "tag", "label", "any"] = "any"
    times: int = Field(default=1, ge=1, le=1_000_000)
    mode: Mode = Field(default=Mode.ERROR, strict=False)
    status: int = Field(default=500, ge=400, le=599)
    code: int | None = Field(default=None, ge=0, le=10_000_000)
    subcode: int | None = Field(default=None, ge=0, le=100_000_000)
    message: str | None = Field(default=None, max_length=500)
    user: str | None = Field(default=None, min_length=1, max_length=200)
    """Only calls for this person."""
    seconds: float = Field(default=30.0, ge=0, le=300)
    retry_after: int | None = Field(default=None, ge=0, le=3_600)


class PersonChange(_Part):
    """A person's messaging window, or whether they can be written to."""

    user: str = Field(min_length=1, max_length=200)
    channel: str = Field(default="messenger", max_length=64)
    window: Literal["open", "closed"] | None = None
    standing: Standing | None = Field(default=None, strict=False)


class Webhooks(_Part):
    """How webhooks are sent from now on."""

    copies: int = Field(default=1, ge=1, le=50)
    """How often each is sent, though the first was answered 200."""
    hold: int = Field(default=0, ge=0, le=1_000)
    """The next so many are kept back, then sent in reverse order."""
    retries: int = Field(default=2, ge=0, le=20)
    """How often one is sent again that was not answered 200."""


class Script(_Part):
    """A change to what goes wrong. What is left out stays as it is; failures are added to those there are."""

    clear: bool = False
    """Forget the earlier failures first, and send webhooks as usual."""
    fail: list[Failure] = Field(default_factory=list, max_length=1_000)
    people: list[PersonChange] = Field(default_factory=list, max_length=1_000)
    webhooks: Webhooks | None = None
    token: Literal["accepted", "refused"] | None = None
    """Whether access tokens work."""
    strict: bool | None = None
    """Whether people who never wrote are unknown. Otherwise the first message to someone new finds them as if they had
    just written: whoever signs webhooks by themselves, as a test does, tells the emulator nothing of it."""


MAX_FAILURES = 10_000


class Rules:
    """The script in force."""

    def __init__(self, *, strict: bool) -> None:
        self._strict_at_first = strict
        self.reset()

    def reset(self) -> None:
        """As at the start."""
        self.failures: list[Failure] = []
        self.webhooks = Webhooks()
        self.token_refused = False
        self.strict = self._strict_at_first

    def change(self, script: Script) -> None:
        """Take over what `script` says of calls and webhooks; people are the platform's."""
        if script.clear:
            self.reset()
        self.failures = (self.failures + [one.model_copy() for one in script.fail])[-MAX_FAILURES:]
        if script.webhooks is not None:
            self.webhooks = script.webhooks.model_copy()
        if script.token is not None:
            self.token_refused = script.token == "refused"  # noqa: S105 - a state, no token
        if script.strict is not None:
            self.strict = script.strict

    def take(self, kind: str, user: str | None) -> Failure | None:
        """What goes wrong with this call; counts it."""
        for failure in self.failures:
            if failure.kind in (kind, "any") and failure.user in (None, user):
                failure.times -= 1
                if failure.times == 0:
                    self.failures.remove(failure)
                return failure
        return None
