"""The shape of a campaign document: its parts, their types and their bounds, and the few questions asked of one.

A document is read by `gamekit.campaigns.schemas.parse_document`, which also checks what no single field can
know; nothing else should build one from outside input. Each field's description completes "must be …".
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, BaseModel, ConfigDict, Discriminator, Field, Tag

from gamekit.campaigns.fields import (
    COLOUR_FORM,
    KEY_FORM,
    LONG_TEXTS_FORM,
    MAX_MONEY,
    MAX_STOCK,
    MOMENT_FORM,
    MONEY_FORM,
    PICTURE_FORM,
    TEXTS_FORM,
    CalendarDay,
    Colour,
    Currency,
    Key,
    Keyword,
    LongTexts,
    Picture,
    Ref,
    SharedText,
    TagText,
    Texts,
    TimeOfDay,
)
from gamekit.odds.table import MAX_PRIZES, MAX_TOTAL, OddsTable


class Part(BaseModel):
    """One table of the document: frozen, and closed to keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PrizeKind(StrEnum):
    COUPON = "coupon"
    GIFT = "gift"
    POINTS = "points"
    NOTHING = "nothing"


class ReleaseKind(StrEnum):
    ALL = "all"
    PER_DAY = "per_day"
    EVENLY = "evenly"
    MOMENTS = "moments"


class Triggers(Part):
    """What a player types or opens to start."""

    keywords: tuple[Keyword, ...] = Field(
        default=(),
        max_length=100,
        description="a list of at most 100 words or phrases, each one line of 1 to 64 characters",
    )
    refs: tuple[Ref, ...] = Field(
        default=(), max_length=100, description="a list of at most 100 refs, each of 1 to 250 letters, digits, - _ ="
    )


class Look(Part):
    """The brand's name, its two colours and its logo."""

    brand: Texts | None = Field(default=None, description=TEXTS_FORM)
    b1: Colour | None = Field(default=None, description=COLOUR_FORM)
    b2: Colour | None = Field(default=None, description=COLOUR_FORM)
    logo: Picture | None = Field(default=None, description=PICTURE_FORM)


class Chances(Part):
    """How often one player may draw; None: without limit."""

    total: int | None = Field(
        default=None,
        strict=True,
        ge=1,
        le=1_000_000,
        description="a whole number from 1 to 1,000,000, or left out for no limit",
    )
    per_day: int | None = Field(
        default=None,
        strict=True,
        ge=1,
        le=10_000,
        description="a whole number from 1 to 10,000, or left out for no limit",
    )
    day_starts: TimeOfDay = Field(default="00:00", description='a time of day in quotes such as "00:00" or "05:30"')


class Limits(Part):
    """How often one player may win a prize other than the fallback; None: without limit."""

    wins_per_player: int | None = Field(
        default=None,
        strict=True,
        ge=1,
        le=1_000_000,
        description="a whole number from 1 to 1,000,000, or left out for no limit",
    )


class SharedCode(Part):
    """One code that every winner of the prize gets."""

    shared: SharedText = Field(description="a code of 1 to 100 characters on one line")


class Release(Part):
    """How many units are open by a given moment; see `gamekit.campaigns.release`."""

    kind: ReleaseKind = Field(description='"all", "per_day", "evenly" or "moments"')
    units: int | None = Field(
        default=None, strict=True, ge=1, le=MAX_STOCK, description=f"a whole number from 1 to {MAX_STOCK:,}"
    )
    moments: tuple[AwareDatetime, ...] = Field(
        default=(), max_length=1_000, description=f"a list of at most 1,000 moments, each {MOMENT_FORM}"
    )


class Money(Part):
    """An amount in minor units."""

    amount: int = Field(
        strict=True, ge=0, le=MAX_MONEY, description=f"a whole number of minor units from 0 to {MAX_MONEY:,}"
    )
    currency: Currency = Field(description='a currency of three capital letters such as "TWD"')


class ExpiresAfter(Part):
    """A coupon's life, counted from the draw."""

    days: int = Field(strict=True, ge=1, le=3_650, description="a whole number from 1 to 3,650")


_CodesForm = Discriminator(lambda value: "<pool>" if isinstance(value, str) else "<shared>")
_ExpiresForm = Discriminator(lambda value: "<after>" if isinstance(value, (dict, ExpiresAfter)) else "<on>")


class Prize(Part):
    """What can come out. `stock` None: as many as the pool has codes, or without limit where there is no pool."""

    key: Key = Field(description=KEY_FORM)
    kind: PrizeKind = Field(description='"coupon", "gift", "points" or "nothing"')
    fallback: bool = Field(
        default=False, strict=True, description="true for the one prize that never runs out, else left out"
    )
    name: Texts = Field(description=TEXTS_FORM)
    weight: int = Field(strict=True, ge=0, le=MAX_TOTAL, description=f"a whole number from 0 to {MAX_TOTAL:,}")
    stock: int | None = Field(
        default=None,
        strict=True,
        ge=0,
        le=MAX_STOCK,
        description=f"a whole number from 0 to {MAX_STOCK:,}, or left out",
    )
    codes: (
        Annotated[Annotated[Literal["pool"], Tag("<pool>")] | Annotated[SharedCode, Tag("<shared>")], _CodesForm] | None
    ) = Field(default=None, description='"pool" or { shared = "LATTE2" }')
    release: Release = Field(
        default=Release(kind=ReleaseKind.ALL), description='a table such as { kind = "per_day", units = 10 }'
    )
    per_player: int | None = Field(
        default=None,
        strict=True,
        ge=1,
        le=1_000_000,
        description="a whole number from 1 to 1,000,000, or left out for no cap",
    )
    value: Money | None = Field(default=None, description=MONEY_FORM)
    cost: Money | None = Field(default=None, description=MONEY_FORM)
    expires: (
        Annotated[
            Annotated[ExpiresAfter, Tag("<after>")] | Annotated[CalendarDay, Tag("<on>")],
            _ExpiresForm,
        ]
        | None
    ) = Field(default=None, description='{ days = 30 } or the last day in quotes such as "2027-01-31"')
    image: Picture | None = Field(default=None, description=PICTURE_FORM)
    tags: tuple[TagText, ...] = Field(
        default=(), max_length=20, description="a list of at most 20 tags, each one line of 1 to 64 characters"
    )
    message: Texts | None = Field(default=None, description=TEXTS_FORM)

    def expires_at(self, issued_at: datetime, timezone: str) -> datetime | None:
        """The last second a coupon drawn at `issued_at` is good for: always the end of a day in the campaign's zone."""
        if self.expires is None:
            return None
        zone = ZoneInfo(timezone)
        if isinstance(self.expires, ExpiresAfter):
            last = issued_at.astimezone(zone).date() + timedelta(days=self.expires.days)
        else:
            last = self.expires
        return datetime(last.year, last.month, last.day, 23, 59, 59, tzinfo=zone)


class CampaignDocument(Part):
    """A whole campaign, as written in its file."""

    slug: Key = Field(description=KEY_FORM)
    game: Key = Field(description='the key of a game, such as "wheel"')
    timezone: str = Field(strict=True, description='a time zone such as "Asia/Taipei"')
    starts_at: AwareDatetime | None = Field(default=None, description=MOMENT_FORM)
    ends_at: AwareDatetime | None = Field(default=None, description=MOMENT_FORM)
    name: Texts = Field(description=TEXTS_FORM)
    terms: LongTexts | None = Field(default=None, description=LONG_TEXTS_FORM)
    privacy: LongTexts | None = Field(default=None, description=LONG_TEXTS_FORM)
    triggers: Triggers = Field(
        default=Triggers(), description='a table such as { keywords = ["wheel"], refs = ["summer"] }'
    )
    options: dict[str, Any] = Field(default={}, description="a table of the game's own options")
    look: Look = Field(default=Look(), description='a table such as { b1 = "#D2401D", b2 = "#0D6273" }')
    chances: Chances = Field(default=Chances(), description="a table such as { total = 5, per_day = 1 }")
    limits: Limits = Field(default=Limits(), description="a table such as { wins_per_player = 2 }")
    prizes: tuple[Prize, ...] = Field(description=f"a list of 1 to {MAX_PRIZES} tables, written [[prizes]]")

    @property
    def fallback(self) -> Prize:
        """The one prize that never runs out."""
        return next(prize for prize in self.prizes if prize.fallback)

    @property
    def locales(self) -> tuple[str, ...]:
        """The locales the campaign's name is written in, sorted (a database may not keep their order)."""
        return tuple(sorted(self.name))

    def prize(self, key: str) -> Prize:
        """The prize with that key. Raises `KeyError`."""
        for prize in self.prizes:
            if prize.key == key:
                return prize
        raise KeyError(key)

    def table(self) -> OddsTable:
        """The prizes' weights, in the document's order."""
        return OddsTable(tuple(prize.key for prize in self.prizes), tuple(prize.weight for prize in self.prizes))

    def to_json(self) -> dict[str, Any]:
        """The document as JSON, in the file's shape, without what is left at its default."""
        return self.model_dump(mode="json", exclude_defaults=True)


def localized(texts: dict[str, str], locale: str | None) -> str:
    """The text for a reader of `locale` ("zh_TW", "en-US", None), or the nearest there is.

    In turn: the same locale, the same script (zh-TW and zh-HK read zh-Hant), the same language, English, the first by name.
    """
    wanted = (locale or "").replace("_", "-")
    language = wanted.partition("-")[0].lower()
    tries = [wanted]
    if language == "zh":
        traditional = any(part in wanted.lower() for part in ("hant", "-tw", "-hk", "-mo"))
        tries.append("zh-Hant" if traditional else "zh-Hans")
    tries += [language, *(name for name in sorted(texts) if name.partition("-")[0] == language)]
    tries += [name for name in sorted(texts) if name.partition("-")[0] == "en"]
    return next((texts[name] for name in tries if name in texts), texts[min(texts)])
