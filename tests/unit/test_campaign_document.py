"""Questions asked of a document: texts for a reader, expiry of a coupon, moments in a zone, its JSON."""

from __future__ import annotations

import copy
import json
import tomllib
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from gamekit.campaigns.document import Part
from gamekit.campaigns.schemas import CampaignDocument, Prize, localized, parse_document
from gamekit.campaigns.times import read_moment, read_zone, zone_names

SUMMER = tomllib.loads((Path(__file__).parents[1] / "vectors" / "summer-wheel.toml").read_text("utf-8"))


def _document(**changes: Any) -> CampaignDocument:
    return parse_document(copy.deepcopy(SUMMER) | changes)


@pytest.mark.parametrize(
    ("locale", "text"),
    [
        ("zh-Hant", "繁"),
        ("zh_TW", "繁"),
        ("zh-HK", "繁"),
        ("zh_CN", "简"),
        ("zh", "简"),
        ("en_US", "en"),
        ("pt_PT", "pt"),
        ("ja", "en"),
        ("", "en"),
        (None, "en"),
    ],
)
def test_the_nearest_text(locale: str | None, text: str) -> None:
    """A reader gets their own locale, else their script, else their language, else English."""
    assert localized({"zh-Hant": "繁", "zh-Hans": "简", "en": "en", "pt-BR": "pt"}, locale) == text


def test_texts_without_english() -> None:
    """Where nothing fits, every reader gets the same text, whatever order a database returns."""
    assert localized({"zh-Hant": "繁", "ja": "日"}, "fr") == localized({"ja": "日", "zh-Hant": "繁"}, "fr") == "日"
    assert localized({"zh-Hant": "繁"}, "zh_CN") == "繁"


def _prize(expires: object) -> Prize:
    latte, thanks = copy.deepcopy(SUMMER["prizes"])
    return _document(prizes=[latte | {"expires": expires}, thanks]).prize("latte")


def test_coupons_expire_at_the_end_of_a_local_day() -> None:
    """30 days after the draw's local day, or on the day named; never where nothing is set."""
    issued = datetime.fromisoformat("2026-12-01T17:00:00+00:00")  # already the 2nd in Taipei
    after = _prize({"days": 30}).expires_at(issued, "Asia/Taipei")
    assert after is not None
    assert after.isoformat() == "2027-01-01T23:59:59+08:00"
    on = _prize("2027-01-31").expires_at(issued, "Asia/Taipei")
    assert on is not None
    assert on.isoformat() == "2027-01-31T23:59:59+08:00"
    assert _prize(None).expires_at(issued, "Asia/Taipei") is None


def test_json_is_plain_and_leaves_out_defaults() -> None:
    """The JSON is what the file says and no more."""
    raw = _document().to_json()
    assert json.loads(json.dumps(raw)) == raw
    assert raw["starts_at"] == "2026-12-01T10:00:00+08:00"
    assert "options" not in raw
    assert raw["prizes"][1] == {key: SUMMER["prizes"][1][key] for key in ("key", "kind", "fallback", "weight", "name")}


def test_a_document_is_frozen() -> None:
    """Nobody edits a published document in memory."""
    with pytest.raises(ValidationError):
        _document().slug = "other"


def test_unknown_prizes() -> None:
    """Asking for a prize that is not there raises."""
    with pytest.raises(KeyError):
        _document().prize("mug")


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2026-12-01T10:00:00+08:00", "2026-12-01T03:00:00+01:00"),
        ("2026-12-01 10:00", "2026-12-01T10:00:00+01:00"),
        ("2026-07-01t10:00:00.25z", "2026-07-01T12:00:00.250000+02:00"),
        (datetime.fromisoformat("2026-07-01T10:00:00"), "2026-07-01T10:00:00+02:00"),
    ],
)
def test_moments_are_read_in_the_zone(value: object, moment: str) -> None:
    """Text and datetimes, with an offset or without, become moments at the zone's offset."""
    assert read_moment(value, ZoneInfo("Europe/Berlin")).isoformat() == moment


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("2026-03-29T02:30:00", "does not happen in Europe/Berlin"),
        (datetime.fromisoformat("2026-10-25T02:30:00"), "happens twice in Europe/Berlin"),
        ("2026-12-01", "must be a date and time"),
        ("20261201T100000Z", "must be a date and time"),
        ("2026-12-01T25:00:00Z", "no such day or time"),
        ("２０２６-12-01T10:00:00Z", "must be a date and time"),
        ("1999-12-31T22:59:59Z", "between the years 2000 and 2199"),
        ("2199-12-31T23:59:59Z", "between the years 2000 and 2199"),
        ("0001-01-01T00:00:00+14:00", "between the years 2000 and 2199"),
        (None, "must be a date and time"),
    ],
)
def test_moments_nobody_can_mean(value: object, why: str) -> None:
    """A local time that clocks skip or repeat, a day without a time and far-off years are refused with the reason."""
    with pytest.raises(ValueError, match=why):
        read_moment(value, ZoneInfo("Europe/Berlin"))


def test_moments_with_an_offset_are_never_ambiguous() -> None:
    """An offset says which of the two hours is meant."""
    zone = ZoneInfo("Europe/Berlin")
    first, second = (read_moment(f"2026-10-25T02:30:00{offset}", zone) for offset in ("+02:00", "+01:00"))
    assert (second - first).total_seconds() == 3_600


def test_every_field_says_what_is_right() -> None:
    """A fault can always be answered with "must be …", since each field of each table describes itself."""
    tables = Part.__subclasses__()
    assert CampaignDocument in tables
    for table in tables:
        for name, field in table.model_fields.items():
            assert field.description, f"{table.__name__}.{name}"


def test_zones() -> None:
    """Every name of the tz database is taken, machine-dependent ones are not, and a city is enough for a hint."""
    assert {"Asia/Taipei", "UTC", "America/Argentina/Buenos_Aires"} <= zone_names()
    assert "localtime" not in zone_names()
    assert read_zone("Asia/Taipei").key == "Asia/Taipei"
    with pytest.raises(ValueError, match='did you mean "America/New_York"'):
        read_zone("New York")
    with pytest.raises(ValueError, match='use a name such as "Asia/Taipei"'):
        read_zone("qqqqqq")
