"""Hypothesis strategies for campaign documents: every one is valid, and together they reach every field."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from gamekit.campaigns.schemas import CampaignDocument, parse_document
from gamekit.odds.table import OddsTable

LOCALES = ("en", "zh-Hant", "ja", "en-US", "pt-BR", "es-419")
ZONES = ("Asia/Taipei", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "UTC")

keys = st.from_regex(r"[a-z0-9][a-z0-9-]{0,15}", fullmatch=True)
_characters = st.characters(exclude_categories=("Cc", "Cs"), include_characters="\n\t")
_line_characters = st.characters(exclude_categories=("Cc", "Cs"))
paragraphs = st.text(_characters, min_size=1, max_size=40).filter(str.strip)
lines = st.text(_line_characters, min_size=1, max_size=20).filter(str.strip)
texts = st.dictionaries(st.sampled_from(LOCALES), paragraphs, min_size=1, max_size=3)
money = st.fixed_dictionaries({"amount": st.integers(0, 10**12), "currency": st.sampled_from(["TWD", "EUR", "JPY"])})
json_leaves = st.one_of(
    st.booleans(),
    st.integers(-(2**53) + 1, 2**53 - 1),
    st.floats(-(2**53) + 1, 2**53 - 1),
    st.text(_characters, max_size=20),
)
json_values = st.recursive(
    json_leaves,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(_line_characters, max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
_EARLIEST, _LATEST = datetime(2001, 1, 1), datetime(2150, 1, 1)  # noqa: DTZ001 - Hypothesis wants bounds without a zone
_moments = st.datetimes(_EARLIEST, _LATEST, timezones=st.just(UTC))


@st.composite
def odds_tables(draw: st.DrawFn, *, max_prizes: int = 12, max_weight: int = 10**9) -> OddsTable:
    """Tables of odds, with weights of 0 among them."""
    names = draw(st.lists(keys, min_size=1, max_size=max_prizes, unique=True))
    weights = draw(st.lists(st.integers(0, max_weight), min_size=len(names), max_size=len(names)).filter(any))
    return OddsTable(tuple(names), tuple(weights))


@st.composite
def document_data(draw: st.DrawFn) -> dict[str, Any]:
    """A valid campaign as plain data, as a TOML file would give it."""
    zone = ZoneInfo(draw(st.sampled_from(ZONES)))
    starts = draw(_moments)
    ends = starts + timedelta(microseconds=draw(st.integers(10**9, 10**13)))
    opening: dict[str, datetime] = draw(
        st.sampled_from([{}, {"starts_at": starts}, {"ends_at": ends}, {"starts_at": starts, "ends_at": ends}])
    )
    names = draw(st.lists(keys, min_size=1, max_size=5, unique=True))
    fallback = draw(st.integers(0, len(names) - 1))
    prizes = [
        draw(_fallbacks(name))
        if place == fallback
        else draw(_prizes(name, starts=starts, ends=ends, opening=opening, zone=zone))
        for place, name in enumerate(names)
    ]
    if not any(prize["weight"] for prize in prizes):
        prizes[fallback]["weight"] = 1
    return {
        "slug": draw(keys),
        "game": draw(keys),
        "timezone": zone.key,
        **opening,
        "name": draw(texts),
        **draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "terms": texts,
                    "privacy": texts,
                    "triggers": st.fixed_dictionaries(
                        {},
                        optional={
                            "keywords": st.lists(lines, max_size=3, unique_by=str.casefold),
                            "refs": st.lists(
                                st.from_regex(r"[A-Za-z0-9_=-]{1,9}", fullmatch=True),
                                max_size=3,
                                unique_by=str.casefold,
                            ),
                        },
                    ),
                    "options": st.dictionaries(st.text(_line_characters, max_size=8), json_values, max_size=4),
                    "look": st.fixed_dictionaries(
                        {},
                        optional={
                            "brand": texts,
                            "b1": st.from_regex(r"#[0-9A-Fa-f]{6}", fullmatch=True),
                            "b2": st.just("#0D6273"),
                            "logo": st.sampled_from(["logo.png", "brand/logo.svg", "https://example.com/logo.png"]),
                        },
                    ),
                    "chances": st.fixed_dictionaries(
                        {},
                        optional={
                            "total": st.integers(1, 10**6),
                            "per_day": st.integers(1, 10_000),
                            "day_starts": st.times().map(lambda time: time.strftime("%H:%M")),
                        },
                    ),
                    "limits": st.fixed_dictionaries({}, optional={"wins_per_player": st.integers(1, 10**6)}),
                },
            )
        ),
        "prizes": prizes,
    }


documents: st.SearchStrategy[CampaignDocument] = document_data().map(parse_document)
"""Valid campaign documents."""


_common = {
    "value": money,
    "cost": money,
    "image": st.sampled_from(["latte.png", "https://example.com/a/latte.png?size=2"]),
    "tags": st.lists(lines, max_size=3, unique_by=str.casefold),
}
_messages = st.dictionaries(
    st.sampled_from(LOCALES), paragraphs.map(lambda text: text.replace("{", "(") + "{prize}"), min_size=1, max_size=2
)


@st.composite
def _fallbacks(draw: st.DrawFn, key: str) -> dict[str, Any]:
    kind = draw(st.sampled_from(["nothing", "points", "gift", "coupon"]))
    return {
        "key": key,
        "kind": kind,
        "fallback": True,
        "name": draw(texts),
        "weight": draw(st.integers(0, 10**11)),
        **({"codes": {"shared": draw(lines)}} if kind == "coupon" else {}),
        **draw(st.fixed_dictionaries({}, optional=_common | {"message": _messages})),
    }


@st.composite
def _prizes(
    draw: st.DrawFn, key: str, *, starts: datetime, ends: datetime, opening: dict[str, datetime], zone: ZoneInfo
) -> dict[str, Any]:
    kind = draw(st.sampled_from(["coupon", "gift", "points", "nothing"]))
    codes = draw(st.sampled_from(["pool", {"shared": draw(lines)}])) if kind == "coupon" else None
    stock = draw(st.none() | st.integers(0, 10**9))
    releases: list[dict[str, Any] | None] = [None, {"kind": "all"}]
    if stock is not None or codes == "pool":
        span = (ends - starts) // timedelta(microseconds=1)
        offsets = draw(st.lists(st.integers(0, span - 1), min_size=1, max_size=4, unique=True))
        releases.append({"kind": "per_day", "units": draw(st.integers(1, 10**9))})
        releases.append(
            {"kind": "moments", "moments": [starts + timedelta(microseconds=offset) for offset in sorted(offsets)]}
        )
        if "ends_at" in opening:
            releases.append({"kind": "evenly"})
    release = draw(st.sampled_from(releases))
    last_day = ends.astimezone(zone).date() + timedelta(days=draw(st.integers(0, 400)))
    expires = draw(st.sampled_from([None, {"days": draw(st.integers(1, 3650))}, last_day, last_day.isoformat()]))
    given = {"codes": codes, "stock": stock, "release": release, "expires": expires}
    return {
        "key": key,
        "kind": kind,
        "name": draw(texts),
        "weight": draw(st.integers(0, 10**11)),
        **{name: value for name, value in given.items() if value is not None},
        **draw(
            st.fixed_dictionaries({}, optional=_common | {"per_player": st.integers(1, 10**6), "message": _messages})
        ),
    }
