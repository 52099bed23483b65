"""Tables of odds: which ticket means which prize, and which weights are refused."""

from __future__ import annotations

import dataclasses

import pytest

from gamekit.errors import InvalidInput
from gamekit.odds.table import MAX_TOTAL, WORDS, OddsTable, fair_limit


def _problems(keys: tuple[str, ...], weights: tuple[object, ...]) -> dict[str, str]:
    with pytest.raises(InvalidInput) as caught:
        OddsTable(keys, weights)  # type: ignore[arg-type]
    return {problem.field: problem.message for problem in caught.value.problems}


def test_each_prize_owns_as_many_tickets_as_its_weight() -> None:
    """Tickets are handed out in table order, weight by weight; a prize of weight 0 owns none."""
    table = OddsTable(("never", "a", "nil", "b", "last"), (0, 2, 0, 3, 0))
    assert table.total == 5
    assert [table.prize_at(ticket) for ticket in range(5)] == ["a", "a", "b", "b", "b"]


@pytest.mark.parametrize("ticket", [-1, 5, 10**30])
def test_tickets_outside_the_table_are_refused(ticket: int) -> None:
    """A ticket nobody holds is an error, not the nearest prize."""
    with pytest.raises(ValueError, match=r"outside 0\.\.4"):
        OddsTable(("a", "b"), (2, 3)).prize_at(ticket)


def test_the_limit_is_the_largest_multiple_that_fits() -> None:
    """The limit is a multiple of the total, at most 2**64, and less than one total away from it."""
    for total in (1, 2, 3, 7, 10_000, 2**32, 2**39 - 7, MAX_TOTAL):
        limit = OddsTable(("a",), (total,)).limit
        assert limit == fair_limit(WORDS, total) == (2**64 // total) * total
        assert limit % total == 0
        assert 0 <= 2**64 - limit < total


def test_a_table_is_frozen() -> None:
    """Published odds cannot be changed in memory either."""
    table = OddsTable(("a",), (1,))
    with pytest.raises(dataclasses.FrozenInstanceError):
        table.weights = (2,)  # type: ignore[misc]


def test_bounds_are_inclusive() -> None:
    """200 prizes and a total of 10**12 are allowed."""
    assert OddsTable(tuple(map(str, range(200))), (0,) * 199 + (MAX_TOTAL,)).prize_at(0) == "199"


def test_bad_tables_name_every_fault() -> None:
    """No prizes, too many, weights of the wrong kind, all zero, too heavy, twice the same key: each is named."""
    assert _problems((), ()) == {"prizes": "must be 1 to 200 prizes, not 0"}
    assert "not 201" in _problems(tuple(map(str, range(201))), (1,) * 201)["prizes"]
    assert "all weights are 0" in _problems(("a", "b"), (0, 0))["prizes"]
    assert str(MAX_TOTAL) in _problems(("a", "b"), (MAX_TOTAL, 1))["prizes"]
    assert "as many" in _problems(("a", "b"), (1,))["weights"]
    assert set(_problems(("a", "b", "a", "d"), (-1, 1.5, 1, True))) == {
        "prizes[0].weight",
        "prizes[1].weight",
        "prizes[2].key",
        "prizes[3].weight",
    }
