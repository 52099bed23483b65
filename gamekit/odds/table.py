"""A table of odds: prizes with integer weights. Owns which ticket means which prize; refuses weights nobody could draw from."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate

from gamekit.errors import InvalidInput, Problem

MAX_PRIZES = 200
MAX_TOTAL = 10**12
WORDS = 2**64
"""How many values one random word can take."""


@dataclass(frozen=True, slots=True)
class OddsTable:
    """Prize keys and their weights, in the order they were published. A prize's odds are weight / total.

    Raises `InvalidInput` with every fault at once.
    """

    keys: tuple[str, ...]
    weights: tuple[int, ...]
    total: int = field(init=False, repr=False, compare=False)
    """The sum of the weights, 1..10**12."""
    cumulative: tuple[int, ...] = field(init=False, repr=False, compare=False)
    """The first ticket that is no longer prize n's."""
    limit: int = field(init=False, repr=False, compare=False)
    """The largest multiple of the total that fits into 64 bits; a word from here on is skipped."""

    def __post_init__(self) -> None:
        problems = tuple(_faults(self.keys, self.weights))
        if problems:
            raise InvalidInput(problems=problems)
        cumulative = tuple(accumulate(self.weights))
        object.__setattr__(self, "cumulative", cumulative)
        object.__setattr__(self, "total", cumulative[-1])
        object.__setattr__(self, "limit", fair_limit(WORDS, cumulative[-1]))

    def prize_for_word(self, word: int) -> str | None:
        """The key of the prize a random 64-bit word picks; None for a word that must be skipped to stay fair."""
        if word >= self.limit:
            return None
        return self.keys[bisect_right(self.cumulative, word % self.total)]

    def prize_at(self, ticket: int) -> str:
        """The key of the prize that owns `ticket`, 0 ≤ ticket < total. Raises `ValueError` outside that range."""
        if not 0 <= ticket < self.total:
            raise ValueError(f"ticket {ticket} is outside 0..{self.total - 1}")
        return self.keys[bisect_right(self.cumulative, ticket)]


def fair_limit(words: int, total: int) -> int:
    """The largest multiple of `total` among `words` equally likely words: below it, every remainder is as likely."""
    return words - words % total


def _faults(keys: tuple[str, ...], weights: tuple[int, ...]) -> Iterator[Problem]:
    if len(keys) != len(weights):
        yield Problem(
            "weights", f"must be as many as the prizes: there are {len(keys)} prizes and {len(weights)} weights"
        )
    if not 1 <= len(keys) <= MAX_PRIZES:
        yield Problem("prizes", f"must be 1 to {MAX_PRIZES} prizes, not {len(keys)}")
    seen: dict[str, int] = {}
    for index, key in enumerate(keys[: MAX_PRIZES + 1]):
        if seen.setdefault(key, index) != index:
            yield Problem(
                f"prizes[{index}].key", f"is the same as that of prizes[{seen[key]}]; each prize needs its own key"
            )
    wrong = False
    for index, weight in enumerate(weights[: MAX_PRIZES + 1]):
        if type(weight) is not int or weight < 0:
            wrong = True
            yield Problem(f"prizes[{index}].weight", "must be a whole number, 0 or more")
    if wrong or not weights:
        return
    total = sum(weights)
    if total == 0:
        yield Problem("prizes", "all weights are 0; at least one prize needs a weight above 0")
    elif total > MAX_TOTAL:
        yield Problem("prizes", f"the weights add up to {total}; the most allowed is {MAX_TOTAL}")
