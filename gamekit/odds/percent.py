"""Percentages people write and read, turned into exact integers and back.

A chance of 100 % is `WHOLE` = 10**8 weights, so six decimals of a percent are exact, and changing one prize's
chance leaves the weights of the others alone.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

PER_PERCENT = 10**6
WHOLE = 100 * PER_PERCENT
_PERCENT = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,32}))? ?%")
_FORM = 'must be a percentage in quotes with at most 6 decimals, such as "5%" or "0.25%"'


def parse_percent(text: object) -> int:
    """The millionths of a percent that `text` stands for: "5%" is 5_000_000. Raises `ValueError` saying what is right."""
    if not isinstance(text, str) or len(text) > 64:
        raise ValueError(_FORM)
    # Chinese and Japanese keyboards type full-width digits and ％.
    match = _PERCENT.fullmatch(unicodedata.normalize("NFKC", text).strip())
    if match is None:
        raise ValueError(_FORM)
    whole, decimals = match[1], (match[2] or "").rstrip("0")
    if len(decimals) > 6:
        raise ValueError(f"has {len(decimals)} decimals; at most 6 are kept exactly")
    value = int(whole) * PER_PERCENT + int(decimals.ljust(6, "0"))
    if value > WHOLE:
        raise ValueError("must be between 0% and 100%")
    return value


def share_out(chances: Sequence[int | None]) -> tuple[int, ...]:
    """Weights, out of `WHOLE`, for chances in millionths of a percent. At most one may be None: it gets what is left.

    Raises `ValueError` saying what they add up to and what would be right.
    """
    given = sum(chance for chance in chances if chance is not None)
    omitted = sum(chance is None for chance in chances)
    if omitted > 1:
        raise ValueError("have more than one without a chance; only the fallback may leave it out")
    if given > WHOLE:
        raise ValueError(
            f"have chances that add up to {_plain(given)} %, which is {_plain(given - WHOLE)} % too much; they must add up to 100 %"
        )
    if given < WHOLE and not omitted:
        raise ValueError(
            f"have chances that add up to {_plain(given)} %; give the missing {_plain(WHOLE - given)} % to a prize, "
            "or leave out the fallback's chance and it gets what is left"
        )
    return tuple(WHOLE - given if chance is None else chance for chance in chances)


def percent_text(weight: int, total: int) -> str:
    """The odds weight / total as a percentage rounded to 6 decimals, such as "5%", "0.25%" or "<0.000001%"."""
    scaled = (2 * weight * WHOLE + total) // (2 * total)
    if scaled == 0 and weight > 0:
        return "<0.000001%"
    if scaled == WHOLE and weight < total:
        return ">99.999999%"
    return f"{_plain(scaled)}%"


def one_in_text(weight: int, total: int) -> str:
    """The odds weight / total as "1 in 20", rounded to one decimal where it is not whole; "never" for weight 0."""
    if weight == 0:
        return "never"
    tenths = (20 * total + weight) // (2 * weight)
    whole, tenth = divmod(tenths, 10)
    return f"1 in {whole:,}.{tenth}" if tenth else f"1 in {whole:,}"


def _plain(millionths: int) -> str:
    whole, rest = divmod(millionths, PER_PERCENT)
    return f"{whole}.{rest:06d}".rstrip("0").rstrip(".")
