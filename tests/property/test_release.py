"""What holds for every release: it only grows, starts at nothing, ends at everything, and days are days."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gamekit.campaigns.document import Release, ReleaseKind
from gamekit.campaigns.release import local_day, next_day_starts, released

ZONES = st.sampled_from(
    ["Asia/Taipei", "Europe/Berlin", "America/Havana", "Australia/Lord_Howe", "Pacific/Apia", "America/St_Johns", "UTC"]
)
DAY_STARTS = st.times().map(lambda time: time.strftime("%H:%M")) | st.sampled_from(["00:00", "02:00", "02:30", "01:45"])
EARLIEST, LATEST = datetime(2009, 1, 1), datetime(2035, 1, 1)  # noqa: DTZ001 - Hypothesis wants bounds without a zone
MOMENTS = st.datetimes(EARLIEST, LATEST, timezones=st.just(UTC))
STOCKS = st.integers(0, 10**9) | st.integers(0, 50)


@st.composite
def cases(draw: st.DrawFn) -> dict[str, object]:
    """A release and all it depends on, but the time."""
    starts = draw(MOMENTS)
    span = draw(st.integers(1, 90 * 86_400) | st.integers(1, 400))
    ends = starts + timedelta(seconds=span, microseconds=draw(st.integers(0, 999_999)))
    offsets = draw(st.lists(st.integers(0, span - 1), min_size=1, max_size=8, unique=True))
    release = draw(
        st.sampled_from(
            [
                Release(kind=ReleaseKind.ALL),
                Release(kind=ReleaseKind.PER_DAY, units=draw(st.integers(1, 1_000))),
                Release(kind=ReleaseKind.EVENLY),
                Release(
                    kind=ReleaseKind.MOMENTS,
                    moments=tuple(starts + timedelta(seconds=offset) for offset in sorted(offsets)),
                ),
            ]
        )
    )
    return {
        "release": release,
        "stock": draw(STOCKS),
        "starts_at": starts,
        "ends_at": ends,
        "timezone": draw(ZONES),
        "day_starts": draw(DAY_STARTS),
    }


def _at(case: dict[str, object], now: datetime) -> int:
    return released(now=now, **case)  # type: ignore[arg-type]


@settings(max_examples=400, deadline=None)
@given(cases(), st.lists(st.integers(-100_000, 10**7), min_size=2, max_size=12))
def test_a_release_only_grows(case: dict[str, object], seconds: list[int]) -> None:
    """Later never means fewer; before the start it is 0, and it never passes the stock."""
    starts = case["starts_at"]
    assert isinstance(starts, datetime)
    times = sorted(starts + timedelta(seconds=second, microseconds=second * 7919 % 10**6) for second in seconds)
    counts = [_at(case, time) for time in times]
    assert counts == sorted(counts)
    for time, units in zip(times, counts, strict=True):
        assert 0 <= units <= case["stock"]  # type: ignore[operator]
        assert units == 0 or time >= starts
        # Only the moment matters, not the zone its offset happens to be written in.
        assert _at(case, time.astimezone(tz=None)) == units


@settings(max_examples=200, deadline=None)
@given(cases())
def test_all_is_open_at_the_end(case: dict[str, object]) -> None:
    """By the end everything of an even release, and of one at set moments, is open."""
    release, ends = case["release"], case["ends_at"]
    assert isinstance(release, Release)
    assert isinstance(ends, datetime)
    if release.kind != ReleaseKind.PER_DAY:
        assert _at(case, ends) == case["stock"]


@settings(max_examples=300, deadline=None)
@given(cases(), st.fractions(0, 1))
def test_evenly_is_the_fraction_passed(case: dict[str, object], passed: Fraction) -> None:
    """Unit k is open exactly when (k - 1) / stock of the time has passed, as exact fractions say."""
    starts, ends, stock = case["starts_at"], case["ends_at"], case["stock"]
    assert isinstance(starts, datetime)
    assert isinstance(ends, datetime)
    assert isinstance(stock, int)
    assume(stock > 0)
    case = case | {"release": Release(kind=ReleaseKind.EVENLY)}
    duration = (ends - starts) // timedelta(microseconds=1)
    elapsed = int(passed * duration)
    units = _at(case, starts + timedelta(microseconds=elapsed))
    assert Fraction(units - 1, stock) <= Fraction(elapsed, duration)
    assert units == stock or Fraction(units, stock) > Fraction(elapsed, duration)


@settings(max_examples=200, deadline=None)
@given(cases(), st.integers(0, 30), st.integers(1, 1_000))
def test_what_a_day_leaves_carries_over(case: dict[str, object], days: int, units: int) -> None:
    """After n more day starts exactly n days' units more are open, whether or not anybody drew before."""
    case = case | {"release": Release(kind=ReleaseKind.PER_DAY, units=units), "stock": 10**9}
    now, zone, day_starts = case["starts_at"], case["timezone"], case["day_starts"]
    assert isinstance(now, datetime)
    assume(zone != "Pacific/Apia")  # it once skipped a day, which opens two days' units at once
    for _ in range(days):
        now = next_day_starts(now, str(zone), str(day_starts))
    assert _at(case, now) == units * (days + 1)


@settings(max_examples=400, deadline=None)
@given(MOMENTS, ZONES, DAY_STARTS, st.integers(0, 3 * 86_400))
def test_days_never_go_back(now: datetime, zone: str, day_starts: str, seconds: int) -> None:
    """Local days grow with time, also where clocks go back over the hour at which days start."""
    later = now + timedelta(seconds=seconds)
    assert local_day(now, zone, day_starts) <= local_day(later, zone, day_starts)


@settings(max_examples=400, deadline=None)
@given(MOMENTS, ZONES, DAY_STARTS)
def test_the_next_day_starts_where_the_day_changes(now: datetime, zone: str, day_starts: str) -> None:
    """A microsecond before the next day's start it is still today; at it, it no longer is; and it is under 50 hours away."""
    starts = next_day_starts(now, zone, day_starts).astimezone(UTC)
    assert now < starts < now + timedelta(hours=50)
    today = local_day(now, zone, day_starts)
    assert local_day(starts - timedelta(microseconds=1), zone, day_starts) == today
    assert local_day(starts, zone, day_starts) > today
