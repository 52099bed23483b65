"""Every problem that API v1 can answer with: its code, its status and what it means, for the document and the docs page."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass

from gamekit import errors


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """One kind of problem."""

    code: str
    status: int
    meaning: str


def _of(error: type[errors.GamekitError]) -> ProblemKind:
    return ProblemKind(error.code, error.status, inspect.cleandoc(error.__doc__ or ""))


_ERRORS = (
    errors.MalformedRequest,
    errors.Unauthorized,
    errors.Forbidden,
    errors.NotFound,
    errors.CampaignNotFound,
    errors.PrizeNotFound,
    errors.DrawNotFound,
    errors.PlayerNotFound,
    errors.RequestTimeout,
    errors.Conflict,
    errors.TooLarge,
    errors.UnsupportedMediaType,
    errors.InvalidInput,
    errors.KeyReused,
    errors.RateLimited,
    errors.Unavailable,
)
_REFUSALS = (
    ProblemKind("not_eligible", 403, "This player may not take part."),
    ProblemKind("no_chances_left", 409, "No chances left; `next_chance_at` says when one comes, where that is known."),
    ProblemKind("campaign_not_started", 409, "The campaign has not started yet."),
    ProblemKind("campaign_paused", 409, "The campaign is paused."),
    ProblemKind("campaign_ended", 409, "The campaign has ended."),
)
_SERVER = (
    ProblemKind("method_not_allowed", 405, "This address does not take this method; `Allow` names those it takes."),
    ProblemKind("internal_error", 500, "Something went wrong inside gamekit; `instance` names the entry in its log."),
)

KINDS: Mapping[str, ProblemKind] = {
    kind.code: kind
    for kind in sorted((*map(_of, _ERRORS), *_REFUSALS, *_SERVER), key=lambda kind: (kind.status, kind.code))
}
REFUSALS: Mapping[str, ProblemKind] = {kind.code: kind for kind in _REFUSALS}
