"""Percentages in and out of exact integers."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gamekit.odds.percent import PER_PERCENT, WHOLE, one_in_text, parse_percent, percent_text, share_out


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5%", 5_000_000),
        ("0%", 0),
        ("100%", WHOLE),
        ("100.000000%", WHOLE),
        ("0.000001%", 1),
        ("0.25 %", 250_000),
        (" 12.5% ", 12_500_000),
        ("33.333333%", 33_333_333),
        ("0.1000000000%", 100_000),
        ("５％", 5_000_000),
        ("007%", 7_000_000),
    ],
)
def test_percentages_become_integers(text: str, value: int) -> None:
    """Up to six decimals are exact; spaces and full-width characters are understood."""
    assert parse_percent(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "5",
        "",
        "%",
        "-5%",
        "five%",
        "1e2%",
        "0,5%",
        ".5%",
        "5.%",
        "5%%",
        "1_0%",
        "NaN%",
        5,
        5.0,
        None,
        True,
        "9" * 100 + "%",
        "٥%",
    ],
)
def test_what_is_no_percentage_is_refused(text: object) -> None:
    """Numbers without %, signs, exponents, commas and other digits are refused with an example of what is right."""
    with pytest.raises(ValueError, match='such as "5%"'):
        parse_percent(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [("0.0000001%", "7 decimals"), ("100.000001%", "between 0% and 100%"), ("999999999999%", "between")],
)
def test_percentages_out_of_bounds_are_refused(text: str, why: str) -> None:
    """More than six decimals or more than 100 % are refused by name."""
    with pytest.raises(ValueError, match=why):
        parse_percent(text)


def test_chances_must_add_up() -> None:
    """Exactly 100 %, or less where one prize takes what is left; the sentence says by how much they are off."""
    assert share_out([5_000_000, 95_000_000]) == (5_000_000, 95_000_000)
    assert share_out([5_000_000, None]) == (5_000_000, 95_000_000)
    assert share_out([WHOLE, None]) == (WHOLE, 0)
    with pytest.raises(ValueError, match=r"add up to 104 %, which is 4 % too much"):
        share_out([5_000_000, 99_000_000])
    with pytest.raises(ValueError, match=r"add up to 104\.5 %, which is 4\.5 % too much"):
        share_out([99_500_000, 5_000_000, None])
    with pytest.raises(ValueError, match=r"add up to 99\.999999 %; give the missing 0\.000001 %"):
        share_out([99_999_999])
    with pytest.raises(ValueError, match="more than one"):
        share_out([None, None])


@given(st.integers(0, WHOLE))
def test_percentages_round_trip(millionths: int) -> None:
    """What is written for a share of 100,000,000 is read back as the same share."""
    assert parse_percent(percent_text(millionths, WHOLE)) == millionths


@given(st.lists(st.integers(0, 10**8), min_size=1, max_size=50))
def test_shares_keep_each_chance(chances: list[int]) -> None:
    """Chances that add up become weights of exactly that proportion, and the total is always the whole."""
    given_chances = [chance // len(chances) for chance in chances]
    weights = share_out([*given_chances, None])
    assert list(weights[:-1]) == given_chances
    assert sum(weights) == WHOLE


@given(st.integers(0, 10**12), st.integers(1, 10**12))
def test_percent_text_is_the_nearest_there_is(weight: int, total: int) -> None:
    """A printed percentage is within half a millionth of a percent, and never claims 0 or 100 wrongly."""
    weight = min(weight, total)
    text = percent_text(weight, total)
    exact = Fraction(100 * weight, total)
    if text[0] in "<>":
        assert 0 < weight < total
    else:
        assert abs(Fraction(Decimal(text.rstrip("%"))) - exact) <= Fraction(1, 2 * PER_PERCENT)
        assert (text == "0%") == (weight == 0)
        assert (text == "100%") == (weight == total)


@pytest.mark.parametrize(
    ("weight", "total", "percent", "one_in"),
    [
        (500, 10_000, "5%", "1 in 20"),
        (1, 3, "33.333333%", "1 in 3"),
        (2, 3, "66.666667%", "1 in 1.5"),
        (0, 5, "0%", "never"),
        (5, 5, "100%", "1 in 1"),
        (1, 10**12, "<0.000001%", "1 in 1,000,000,000,000"),
        (10**12 - 1, 10**12, ">99.999999%", "1 in 1"),
        (3, 100_000, "0.003%", "1 in 33,333.3"),
    ],
)
def test_odds_as_people_read_them(weight: int, total: int, percent: str, one_in: str) -> None:
    """Odds are shown as a percentage and as "1 in N"."""
    assert percent_text(weight, total) == percent
    assert one_in_text(weight, total) == one_in
