"""Numbers and moments as people read them: pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from babel.dates import format_datetime, get_timezone_name

from gamekit.odds.percent import one_in_text, percent_text

NBSP = "\u00a0"
DASH = "–"
_DAY = {"zh-Hant": "y/M/d", "en": "d MMM y"}


def share(weight: int, total: int) -> str:
    """The odds weight / total as a percentage with at most 6 decimals."""
    return percent_text(weight, total).replace("%", f"{NBSP}%")


def one_in(weight: int, total: int, words: Mapping[str, str]) -> str:
    """The odds weight / total as "1 in N"."""
    if weight == 0:
        return words["never"]
    return words["one_in"].replace("{n}", one_in_text(weight, total).removeprefix("1 in "))


def number(value: int) -> str:
    return f"{value:,}"


def day(moment: datetime, zone: str, language: str) -> str:
    """The date in that time zone."""
    return format_datetime(moment, _DAY.get(language, "y-MM-dd"), tzinfo=ZoneInfo(zone), locale=_locale(language))


def minute(moment: datetime, zone: str, language: str) -> str:
    """Date and time in that time zone; seconds only where there are some."""
    local = moment.astimezone(ZoneInfo(zone))
    time = f"{local:%H:%M:%S}" if local.second else f"{local:%H:%M}"
    return f"{day(moment, zone, language)}{NBSP}{time}"


def second(moment: datetime, zone: str) -> str:
    """The time of day in that time zone."""
    return f"{moment.astimezone(ZoneInfo(zone)):%H:%M:%S}"


def zone_name(zone: str, language: str) -> str:
    """A time zone as its people call it, with the name it has in a campaign's file."""
    if "/" not in zone or zone.startswith("Etc/"):
        return zone
    name = get_timezone_name(ZoneInfo(zone), width="long", zone_variant="generic", locale=_locale(language))
    return f"{name}（{zone}）" if language.startswith("zh") else f"{name} ({zone})"


def _locale(language: str) -> str:
    return language.replace("-", "_")
