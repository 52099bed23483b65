"""How much stock is open at a given moment, and where days begin, worked out by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gamekit.campaigns.document import Release, ReleaseKind
from gamekit.campaigns.release import local_day, next_day_starts, released

TAIPEI = "Asia/Taipei"
BERLIN = "Europe/Berlin"
START = datetime.fromisoformat("2026-12-01T10:00:00+08:00")
END = datetime.fromisoformat("2026-12-31T10:00:00+08:00")


def _open(
    release: Release,
    now: str | datetime,
    *,
    stock: int = 100,
    starts_at: datetime = START,
    ends_at: datetime | None = END,
    timezone: str = TAIPEI,
    day_starts: str = "00:00",
) -> int:
    moment = datetime.fromisoformat(now) if isinstance(now, str) else now
    return released(
        release, stock=stock, starts_at=starts_at, ends_at=ends_at, timezone=timezone, day_starts=day_starts, now=moment
    )


@pytest.mark.parametrize(
    "release",
    [
        Release(kind=ReleaseKind.ALL),
        Release(kind=ReleaseKind.PER_DAY, units=10),
        Release(kind=ReleaseKind.EVENLY),
        Release(kind=ReleaseKind.MOMENTS, moments=(START, END - timedelta(days=1))),
    ],
    ids=lambda release: release.kind,
)
def test_nothing_is_open_before_the_start(release: Release) -> None:
    """A microsecond before the opening no unit is open; at the opening at least one is."""
    assert _open(release, START - timedelta(microseconds=1)) == 0
    assert _open(release, START) > 0


def test_all_at_once() -> None:
    """Everything is open from the start on."""
    assert _open(Release(kind=ReleaseKind.ALL), START) == 100


@pytest.mark.parametrize(
    ("now", "units"),
    [
        ("2026-12-01T10:00:00+08:00", 10),
        ("2026-12-01T23:59:59.999999+08:00", 10),
        ("2026-12-02T00:00:00+08:00", 20),
        ("2026-12-05T12:00:00+08:00", 50),
        ("2026-12-10T00:00:00+08:00", 100),
        ("2026-12-30T00:00:00+08:00", 100),
    ],
)
def test_per_day_counts_local_days(now: str, units: int) -> None:
    """Each local day begun opens ten more, the opening's own day included, up to the stock."""
    assert _open(Release(kind=ReleaseKind.PER_DAY, units=10), now) == units


def test_per_day_with_a_later_day_start() -> None:
    """Where days start at 12:00, an opening at 10:00 belongs to the day before, which ends two hours later."""
    release = Release(kind=ReleaseKind.PER_DAY, units=10)
    assert _open(release, "2026-12-01T11:59:59+08:00", day_starts="12:00") == 10
    assert _open(release, "2026-12-01T12:00:00+08:00", day_starts="12:00") == 20
    assert _open(release, "2026-12-02T11:59:59+08:00", day_starts="12:00") == 20


def test_evenly_opens_unit_by_unit() -> None:
    """With 30 units over 30 days the first is open at once and one more every 24 hours, to the microsecond."""
    release = Release(kind=ReleaseKind.EVENLY)
    assert _open(release, START, stock=30) == 1
    assert _open(release, START + timedelta(days=1, microseconds=-1), stock=30) == 1
    assert _open(release, START + timedelta(days=1), stock=30) == 2
    assert _open(release, END - timedelta(microseconds=1), stock=30) == 30
    assert _open(release, END, stock=30) == 30
    assert _open(release, END + timedelta(days=900), stock=30) == 30
    assert _open(release, START, stock=0) == 0


def test_evenly_is_exact_for_huge_stocks() -> None:
    """A billion units over 30 days is beyond what a float keeps; each opens in its microsecond."""
    release = Release(kind=ReleaseKind.EVENLY)
    duration = (END - START) // timedelta(microseconds=1)
    for unit in (2, 3, 500_000_001, 999_999_999, 10**9):
        opens = -(-(unit - 1) * duration // 10**9)  # rounded up to the microsecond
        assert _open(release, START + timedelta(microseconds=opens), stock=10**9) >= unit
        assert _open(release, START + timedelta(microseconds=opens - 1), stock=10**9) < unit


def test_evenly_needs_an_end() -> None:
    """Without an end there is nothing to be even about."""
    with pytest.raises(ValueError, match="end"):
        _open(Release(kind=ReleaseKind.EVENLY), START, ends_at=None)


def test_moments_open_equal_parts() -> None:
    """Each moment passed opens its part of the stock, rounded down, and the last opens all."""
    moments = tuple(START + timedelta(days=day) for day in (1, 5, 9))
    release = Release(kind=ReleaseKind.MOMENTS, moments=moments)
    assert [_open(release, START + timedelta(days=day)) for day in (0, 1, 4, 5, 8, 9, 20)] == [
        0,
        33,
        33,
        66,
        66,
        100,
        100,
    ]


@pytest.mark.parametrize(
    ("now", "zone", "day_starts", "day", "next_start"),
    [
        ("2026-12-01T15:59:59Z", TAIPEI, "00:00", 20261201, "2026-12-02T00:00:00+08:00"),
        ("2026-12-01T16:00:00Z", TAIPEI, "00:00", 20261202, "2026-12-03T00:00:00+08:00"),
        ("2026-12-01T04:59:00+08:00", TAIPEI, "05:00", 20261130, "2026-12-01T05:00:00+08:00"),
        # Clocks go forward at 02:00 on 29 March 2026 and back at 03:00 on 25 October 2026.
        ("2026-03-28T23:30:00+01:00", BERLIN, "00:00", 20260328, "2026-03-29T00:00:00+01:00"),
        ("2026-03-29T00:30:00+01:00", BERLIN, "00:00", 20260329, "2026-03-30T00:00:00+02:00"),
        ("2026-10-25T00:30:00+02:00", BERLIN, "00:00", 20261025, "2026-10-26T00:00:00+01:00"),
        # 02:30 does not happen: the day starts where it would have, 03:30 summer time.
        ("2026-03-29T03:29:59+02:00", BERLIN, "02:30", 20260328, "2026-03-29T03:30:00+02:00"),
        ("2026-03-29T03:30:00+02:00", BERLIN, "02:30", 20260329, "2026-03-30T02:30:00+02:00"),
        # 02:30 happens twice: the day starts the first time and does not go back.
        ("2026-10-25T02:29:59+02:00", BERLIN, "02:30", 20261024, "2026-10-25T02:30:00+02:00"),
        ("2026-10-25T02:30:00+02:00", BERLIN, "02:30", 20261025, "2026-10-26T02:30:00+01:00"),
        ("2026-10-25T02:10:00+01:00", BERLIN, "02:30", 20261025, "2026-10-26T02:30:00+01:00"),
        # Samoa left out 30 December 2011.
        ("2011-12-29T23:59:59-10:00", "Pacific/Apia", "00:00", 20111229, "2011-12-31T00:00:00+14:00"),
        ("2011-12-31T00:00:00+14:00", "Pacific/Apia", "00:00", 20111231, "2012-01-01T00:00:00+14:00"),
    ],
)
def test_days(now: str, zone: str, day_starts: str, day: int, next_start: str) -> None:
    """A moment's local day and the next day's start, also where clocks change at that hour or a day is missing."""
    moment = datetime.fromisoformat(now)
    assert local_day(moment, zone, day_starts) == day
    expected = datetime.fromisoformat(next_start)
    got = next_day_starts(moment, zone, day_starts)
    assert got.astimezone(UTC) == expected.astimezone(UTC)
    assert got.isoformat() == expected.isoformat()
