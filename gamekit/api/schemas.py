"""What the draw API v1 takes and gives, as Pydantic models: the one source of its checks and of its OpenAPI document.

Requests are strict (no text for a number) and closed (an unknown name is an error).
"""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from gamekit.campaigns.models import RunKind
from gamekit.campaigns.views import Phase
from gamekit.http.patterns import CHANNEL, PRINTABLE

Channel = Annotated[str, Field(pattern=CHANNEL, description="The connected channel's key.", examples=["messenger"])]
ExternalId = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        pattern=PRINTABLE,
        description="The player's id on that channel: PSID, LINE userId, WhatsApp user id, or your own.",
        examples=["1423587017700273"],
    ),
]
ReasonKey = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        pattern=PRINTABLE,
        description="Names what the chances are for.",
        examples=["order-1001"],
    ),
]


class Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    def names(self) -> int:
        """How many names the body said, in all its objects."""
        return len(self.model_fields_set)


class PlayerRef(Request):
    """A person on one channel account."""

    channel: Channel
    id: ExternalId


class PlayerRequest(Request):
    """A call about one player."""

    player: PlayerRef

    def names(self) -> int:
        return len(self.model_fields_set) + len(self.player.model_fields_set)


class DrawRequest(PlayerRequest):
    """One call that draws."""

    count: int = Field(default=1, ge=1, le=10, description="Draws wanted; all are made or none.")
    run: RunKind = Field(
        default=RunKind.LIVE, description="The live run, or the test run with its own stock and chances."
    )


def body_hash(channel: str, external_id: str, count: int) -> str:
    """What a draw request asks for, as 32 hex digits: the same for every way of writing the same request.

    None of the parts can hold a line break. The run is not part of it, since a key is used within a run.
    """
    return sha256(f"{channel}\n{external_id}\n{count}".encode()).hexdigest()[:32]


class LinkRequest(PlayerRequest):
    """A play link for one player."""

    run: RunKind = RunKind.LIVE


class GrantRequest(PlayerRequest):
    """Extra chances for one player, once per reason."""

    chances: int = Field(ge=1, le=1000)
    reason_key: ReasonKey
    run: RunKind = RunKind.LIVE


class Query(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NoQuery(Query):
    """Nothing is asked for in the address."""


class RunQuery(Query):
    run: RunKind = Field(default=RunKind.LIVE, description="The live or the test run.")


class DrawsQuery(RunQuery):
    after: str | None = Field(
        default=None,
        max_length=100,
        pattern=r"^[!-~]+$",
        description="The `next` of the page before; left out for the first.",
    )
    limit: int = Field(default=100, ge=1, le=1000, description="Draws on a page.")


class PutCampaignQuery(Query):
    dry_run: bool = Field(default=False, description="Only tell what would change.", examples=[True])


class Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class PrizeWon(Answer):
    key: str
    name: dict[str, str] = Field(description="By locale.")
    kind: Literal["coupon", "gift", "points", "nothing"]
    image_url: str | None


class CouponWon(Answer):
    code: str
    expires_at: datetime | None
    url: str | None


class Proof(Answer):
    """With the revealed seed, all it takes to recompute the pick."""

    commitment: str = Field(description="SHA-256 of the run's seed, published before the first draw.")
    run: str
    player: str = Field(description="The player's random name in this run.")
    source: str
    key: str
    index: int


class DrawOut(Answer):
    """One decided outcome."""

    id: str
    campaign: str
    run: RunKind
    outcome: Literal["win", "lose"]
    reason: str | None = Field(
        description="Why the prize is not the picked one: sold_out, not_released, capped, win_limit."
    )
    prize: PrizeWon
    coupon: CouponWon | None
    reveal: dict[str, Any] = Field(description="How the campaign's game shows this draw.")
    odds_version: int
    proof: Proof
    created_at: datetime


class DrawsOut(Answer):
    """The draws of one request. A repeat of the request gives the same draws; `chances_left` is as of now."""

    draws: list[DrawOut]
    chances_left: int | None = Field(description="Draws the player may still make; null: without limit.")


class DrawPage(Answer):
    draws: list[DrawOut]
    next: str | None = Field(description="`after` for the next page; null where there is none yet.")


class PrizeOut(Answer):
    key: str
    name: dict[str, str]
    kind: Literal["coupon", "gift", "points", "nothing"]
    fallback: bool
    weight: int
    stock: int | None = Field(description="Units in existence; null: without limit.")
    issued: int


class CampaignOut(Answer):
    slug: str
    state: Phase
    game: str
    name: dict[str, str]
    version: int | None = Field(description="The live run's odds version; null while nothing is published.")
    starts_at: datetime | None
    ends_at: datetime | None
    commitment: str = Field(description="SHA-256 of the live run's seed.")
    odds_hash: str | None = Field(description="SHA-256 of the canonical JSON of prize keys and weights.")
    seed: str | None = Field(description="The seed in hex, once the campaign has ended.")
    prizes: list[PrizeOut]
    created_at: datetime
    updated_at: datetime


class CampaignDetail(CampaignOut):
    document: dict[str, Any] = Field(description="The campaign as a file, as last saved.")


class CampaignList(Answer):
    campaigns: list[CampaignOut]


class PrizeOdds(Answer):
    key: str
    name: dict[str, str]
    kind: Literal["coupon", "gift", "points", "nothing"]
    fallback: bool
    weight: int
    probability: float = Field(ge=0, le=1, description="weight / total_weight")
    one_in: float | None = Field(description="total_weight / weight; null where the weight is 0.")
    stock: int | None
    issued: int
    left: int | None = Field(description="Units not yet issued; null: without limit.")


class OddsOut(Answer):
    """The odds in force. A picked prize that is sold out, not yet released or capped becomes the fallback, and the draw says so."""

    campaign: str
    state: Phase
    version: int | None
    total_weight: int
    prizes: list[PrizeOdds]
    commitment: str
    odds_hash: str | None


class ChangeOut(Answer):
    field: str
    before: Any
    after: Any


class AppliedOut(Answer):
    """What saving the document changed, or with `dry_run` would change."""

    slug: str
    dry_run: bool
    created: bool
    version: int | None
    changes: list[ChangeOut]


class LinkOut(Answer):
    url: str
    expires_at: datetime


class GrantOut(Answer):
    chances: int
    added: bool = Field(description="False where this reason had given its chances before.")


class RejectedLine(Answer):
    line: int
    why: str


class ImportOut(Answer):
    """What became of the file's lines; the lists hold the first 1,000."""

    added: int
    duplicates: int
    duplicate_lines: list[int]
    rejected: list[RejectedLine]
    rejected_total: int


class PlayerOut(Answer):
    channel: str
    id: str
    locale: str | None
    tags: list[str]
    window_expires_at: datetime | None
    created_at: datetime


class FieldProblem(Answer):
    field: str
    message: str


class ProblemOut(Answer):
    """RFC 9457. `code` is stable; `errors` names each field that is wrong."""

    model_config = ConfigDict(frozen=True, extra="allow")

    type: str
    title: str
    status: int
    detail: str
    code: str
    instance: str | None = None
    errors: list[FieldProblem] | None = None
    next_chance_at: datetime | None = Field(
        default=None, description="When the player may draw again, where that is known."
    )
