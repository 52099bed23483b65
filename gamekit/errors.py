"""Errors with a stable code and an HTTP status.

An expected refusal (no chances left, paused) is a typed result of `gamekit.draws`, not an error.
The docstring of an error is its default message.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with one field: where it is, and what would be right."""

    field: str
    message: str


class GamekitError(Exception):
    """Something went wrong inside gamekit."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500

    def __init__(
        self, message: str | None = None, *, problems: tuple[Problem, ...] = (), retry_after: int | None = None
    ) -> None:
        self.message = message or inspect.cleandoc(type(self).__doc__ or "")
        self.problems = problems
        self.retry_after = retry_after
        super().__init__(self.message)


class InvalidInput(GamekitError):
    """The input is not valid; `errors` names each field and what would be right."""

    code = "invalid_input"
    status = 422


class MalformedRequest(GamekitError):
    """The request could not be read."""

    code = "malformed_request"
    status = 400


class TooLarge(GamekitError):
    """The body is larger than this route accepts."""

    code = "body_too_large"
    status = 413


class UnsupportedMediaType(GamekitError):
    """The body is not of the kind this route reads."""

    code = "unsupported_media_type"
    status = 415


class RequestTimeout(GamekitError):
    """The body did not arrive in time; send it again."""

    code = "request_timeout"
    status = 408


class Unauthorized(GamekitError):
    """A valid API key is needed: send it as `Authorization: Bearer gk_…`."""

    code = "unauthorized"
    status = 401


class Forbidden(GamekitError):
    """This key or user may not do that."""

    code = "forbidden"
    status = 403


class NotFound(GamekitError):
    """There is nothing at this address."""

    code = "not_found"
    status = 404


class CampaignNotFound(NotFound):
    """There is no campaign with this slug."""

    code = "campaign_not_found"


class DrawNotFound(NotFound):
    """There is no draw with this id."""

    code = "draw_not_found"


class PlayerNotFound(NotFound):
    """This player is not known on this channel."""

    code = "player_not_found"


class PrizeNotFound(NotFound):
    """The campaign has no prize with this key."""

    code = "prize_not_found"


class Conflict(GamekitError):
    """The change does not fit the present state."""

    code = "conflict"
    status = 409


class KeyReused(GamekitError):
    """This Idempotency-Key was used before with another body; use a new key for a new request."""

    code = "idempotency_key_reused"
    status = 422


class RateLimited(GamekitError):
    """Too many requests; wait for the number of seconds in Retry-After."""

    code = "rate_limited"
    status = 429


class Unavailable(GamekitError):
    """Nothing was used up; repeat the same request with the same key in a moment."""

    code = "unavailable"
    status = 503

    def __init__(self, message: str | None = None, *, retry_after: int = 1) -> None:
        super().__init__(message, retry_after=retry_after)


class ConfigError(GamekitError):
    """A setting is missing or wrong."""

    code = "config_error"


class MigrationNeeded(ConfigError):
    """The database needs a migration: run `gamekit migrate`."""

    code = "migration_needed"
