"""Moments as people write them: with an offset, or as local time in the campaign's zone."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from datetime import timezone as fixed_offset
from difflib import get_close_matches
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?([Zz]|[+-]\d\d:\d\d)?", re.ASCII)
_FORM = "must be a date and time such as 2026-12-01T10:00:00+08:00"


@cache
def zone_names() -> frozenset[str]:
    """The zones a campaign may name: those of the tz database, without the ones that mean "this machine's"."""
    return frozenset(available_timezones() - {"localtime", "Factory"})


def read_zone(value: object) -> ZoneInfo:
    """The time zone of that name. Raises `ValueError` saying what would be right, with the nearest known name."""
    if not isinstance(value, str) or len(value) > 64:
        raise ValueError('must be a time zone such as "Asia/Taipei"')
    if value not in zone_names():
        by_lower = {name.lower(): name for name in zone_names()}
        by_city = {name.rpartition("/")[2]: name for name in by_lower}
        lowered = value.lower().replace(" ", "_")
        near = get_close_matches(lowered, by_lower, 1, 0.75) or [
            by_city[city] for city in get_close_matches(lowered.rpartition("/")[2], by_city, 1, 0.85)
        ]
        hint = f'did you mean "{by_lower[near[0]]}"?' if near else 'use a name such as "Asia/Taipei"'
        raise ValueError(f"is not a known time zone; {hint}")
    return ZoneInfo(value)


def read_moment(value: object, zone: ZoneInfo) -> datetime:
    """An aware datetime at `zone`'s offset, from a datetime or RFC 3339 text; without an offset it is local to `zone`.

    Raises `ValueError` saying what would be right, also for a local time that clocks skip or repeat.
    """
    if isinstance(value, str) and len(value) <= 64 and _MOMENT.fullmatch(value):
        try:
            value = datetime.fromisoformat(value.upper())
        except ValueError:
            raise ValueError(f"{_FORM}; there is no such day or time") from None
    if not isinstance(value, datetime):
        raise ValueError(_FORM)  # noqa: TRY004 - whatever is no moment gets the same answer
    if value.tzinfo is None:
        first, second = value.replace(tzinfo=zone), value.replace(tzinfo=zone, fold=1)
        if first.utcoffset() != second.utcoffset():
            happens = "happens twice" if first.utcoffset() > second.utcoffset() else "does not happen"  # type: ignore[operator]
            raise ValueError(
                f"{happens} in {zone.key}, where clocks change then; write it with an offset such as +08:00"
            )
        value = first
    try:
        local = value.astimezone(zone)
    except OverflowError:
        local = None
    if local is None or not 2000 <= local.year <= 2199:
        raise ValueError("must be between the years 2000 and 2199")
    # A fixed offset, since two datetimes of one ZoneInfo are compared by their wall clocks.
    return local.replace(tzinfo=fixed_offset(local.utcoffset() or timedelta(0)))
