"""How much of a prize's stock is open by a given moment, and where a campaign's days begin.

Pure integer arithmetic on absolute time, so changing clocks never open, close or repeat a unit. What a day
leaves carries over: a release says how many units are open in all, not how many are new.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from gamekit.campaigns.document import Release, ReleaseKind
from gamekit.clock import micros

_DAY = timedelta(days=1)


def released(
    release: Release,
    *,
    stock: int,
    starts_at: datetime,
    ends_at: datetime | None,
    timezone: str,
    day_starts: str,
    now: datetime,
) -> int:
    """How many of `stock` units are open at `now`: 0 before the opening, never more than `stock`, never fewer than before.

    `per_day` counts the local days begun since the opening, the opening's own day included. `evenly` opens unit k
    when (k - 1) / stock of the campaign has passed, and needs `ends_at` (`ValueError` without it). `moments` opens
    an equal part, rounded down, at each moment.
    """
    opening, moment = micros(starts_at), micros(now)
    if moment < opening:
        return 0
    match release.kind:
        case ReleaseKind.ALL:
            return stock
        case ReleaseKind.PER_DAY:
            days = _day(now, timezone, day_starts).toordinal() - _day(starts_at, timezone, day_starts).toordinal() + 1
            return min(stock, (release.units or 0) * days)
        case ReleaseKind.EVENLY:
            if ends_at is None:
                raise ValueError("an even release needs the campaign's end")
            end = micros(ends_at)
            if moment >= end:
                return stock
            return min(stock, stock * (moment - opening) // (end - opening) + 1)
        case ReleaseKind.MOMENTS:
            return stock * bisect_right(release.moments, now) // len(release.moments)


def local_day(now: datetime, timezone: str, day_starts: str) -> int:
    """The campaign's day at `now` as yyyymmdd. It never goes back, also where clocks do."""
    day = _day(now, timezone, day_starts)
    return day.year * 10_000 + day.month * 100 + day.day


def next_day_starts(now: datetime, timezone: str, day_starts: str) -> datetime:
    """When the campaign's next day begins: the first moment after `now` with another `local_day`, in the campaign's zone."""
    zone, opens = ZoneInfo(timezone), time.fromisoformat(day_starts)
    return _boundary(_day(now, timezone, day_starts) + _DAY, opens, zone).astimezone(zone)


def _day(now: datetime, timezone: str, day_starts: str) -> date:
    zone, opens = ZoneInfo(timezone), time.fromisoformat(day_starts)
    day = now.astimezone(zone).date()
    while _boundary(day, opens, zone) > now:
        day -= _DAY
    while _boundary(day + _DAY, opens, zone) <= now:
        day += _DAY
    return day


def _boundary(day: date, opens: time, zone: ZoneInfo) -> datetime:
    # An hour that happens twice counts the first time; one that is skipped counts from where it would have begun.
    return datetime.combine(day, opens, zone).astimezone(UTC)
