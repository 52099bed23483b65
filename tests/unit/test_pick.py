"""The pick, against an independent reading of the rule, against vectors, and against planted mistakes.

The checks are functions that take an implementation. They pass for the real one, and the last tests show that
each of them catches the mistake it is there for.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import accumulate, count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gamekit.odds.pick import accepted_word, message, pick
from gamekit.odds.table import WORDS, OddsTable, fair_limit
from gamekit.testing.strategies import odds_tables

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "picks.json").read_text("utf-8"))["picks"]
SEED = bytes(range(32))
NAME = {
    "run": "0123456789ab",
    "version": 1,
    "player": "7h2k9q8m1n4p",
    "source": "api:abcd1234",
    "key": "order",
    "index": 0,
}
FIELDS = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=20)

Weights = tuple[int, ...]
Decide = Callable[[Weights, int, int], int | None]
"""(weights, word, how many words there are) -> which prize, or None to skip the word."""
Accept = Callable[[bytes, str, int], int]
"""(seed, name up to the counter, limit) -> the word that counts."""


# An independent, plain reading of the rule.


def spec_words(seed: bytes, name: str) -> Iterator[int]:
    """64-bit big-endian words, four from each HMAC, counter from 0."""
    for counter in count():
        digest = hmac.new(seed, f"{name}{counter}".encode(), hashlib.sha256).digest()
        for start in (0, 8, 16, 24):
            yield int.from_bytes(digest[start : start + 8], "big")


def spec_pick(seed: bytes, prizes: list[tuple[str, int]], fields: dict[str, Any]) -> tuple[int, int, int, str]:
    """(words skipped, the word, the ticket, the prize), by walking through the prizes."""
    total = sum(weight for _, weight in prizes)
    name = "\n".join(str(fields[part]) for part in ("run", "version", "player", "source", "key", "index")) + "\n"
    for skipped, word in enumerate(spec_words(seed, name)):
        if word < 2**64 // total * total:
            ticket = rest = word % total
            for key, weight in prizes:
                if rest < weight:
                    return skipped, word, ticket, key
                rest -= weight
    raise AssertionError("unreachable")


# Checks that any implementation must pass.


def check_exact_counts(decide: Decide) -> None:
    """Over all words of a small word size, each prize comes out exactly weight times as often as one ticket."""
    for weights in [(1,), (1, 2), (3, 0, 4), (0, 5, 0, 1, 0), (10, 20, 3), (1,) * 13, (100, 1), (250, 5), (128, 128)]:
        for words in (256, 257, 300, 1024):
            total = sum(weights)
            drawn = Counter(decide(weights, word, words) for word in range(words))
            expected = {place: weight * (words // total) for place, weight in enumerate(weights) if weight}
            expected[None] = words % total  # type: ignore[index]
            assert drawn == Counter({place: times for place, times in expected.items() if times})


def check_edges_of_64_bits(decide: Decide) -> None:
    """Whole windows of 64-bit words at the start, the middle and the end count exactly; beyond the limit all are skipped."""
    for weights in [(1,), (1, 2), (3, 0, 4), (0, 5, 0, 1, 0), (500, 9500), tuple(range(200))]:
        total = sum(weights)
        limit = 2**64 // total * total
        expected = Counter({place: weight for place, weight in enumerate(weights) if weight})
        for start in (0, total, limit // total // 2 * total, limit - total):
            assert Counter(decide(weights, word, 2**64) for word in range(start, start + total)) == expected
        assert all(decide(weights, word, 2**64) is None for word in range(limit, 2**64))


def check_words(accept: Accept) -> None:
    """The word that counts is the first below the limit in the stream of words, however many HMACs that takes."""
    for shift in (0, 1, 3, 5, 7):
        limit = 2**64 >> shift
        for number in range(60):
            name = f"run\n1\nplayer\nsource\nkey-{number}\n0\n"
            assert accept(SEED, name, limit) == next(word for word in spec_words(SEED, name) if word < limit)


def check_pick(picker: Callable[..., str]) -> None:
    """Every vector comes out; each field of a draw's name matters; and asking again changes nothing."""
    for vector in VECTORS:
        table = OddsTable(
            tuple(prize["key"] for prize in vector["prizes"]), tuple(prize["weight"] for prize in vector["prizes"])
        )
        fields = {part: vector[part] for part in NAME}
        seed = bytes.fromhex(vector["seed"])
        assert [picker(seed, table, **fields) for _ in range(3)] == [vector["prize"]] * 3, vector["about"]
    even = OddsTable(tuple(map(str, range(100))), (1,) * 100)
    for part, values in {
        "run": [f"run{n}" for n in range(40)],
        "version": range(40),
        "player": [f"player{n}" for n in range(40)],
        "source": [f"source{n}" for n in range(40)],
        "key": [f"key{n}" for n in range(40)],
        "index": range(10),
    }.items():
        assert len({picker(SEED, even, **NAME | {part: value}) for value in values}) > 5, part
    assert len({picker(bytes([number]) * 32, even, **NAME) for number in range(40)}) > 5


# The real implementation.


def real_decide(weights: Weights, word: int, words: int) -> int | None:
    """The real table; `words` other than 2**64 take its parts, since a table itself always uses 64 bits."""
    table = OddsTable(tuple(map(str, range(len(weights)))), weights)
    if words == WORDS:
        prize = table.prize_for_word(word)
        return None if prize is None else int(prize)
    return int(table.prize_at(word % table.total)) if word < fair_limit(words, table.total) else None


def test_counts_are_exact() -> None:
    """Enumerating small totals gives each prize exactly its weight."""
    check_exact_counts(real_decide)
    check_edges_of_64_bits(real_decide)


def test_words_above_the_limit_are_skipped() -> None:
    """A skipped word is followed by the next of the stream, across counters."""
    check_words(accepted_word)


def test_picks_are_the_vectors() -> None:
    """The pick gives every vector, depends on every field, and repeats itself."""
    check_pick(pick)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["about"])
def test_vectors_follow_the_rule(vector: dict[str, Any]) -> None:
    """Each vector agrees with the plain reading of the rule, in every number it names."""
    prizes = [(prize["key"], prize["weight"]) for prize in vector["prizes"]]
    seed = bytes.fromhex(vector["seed"])
    found = spec_pick(seed, prizes, vector)
    assert found == (vector["skipped"], int(vector["word"]), vector["ticket"], vector["prize"])
    assert message(**{part: vector[part] for part in NAME}, counter=0).hex() == vector["first_message"]
    assert hmac.digest(seed, bytes.fromhex(vector["first_message"]), "sha256").hex() == vector["first_digest"]


def test_vectors_hold_what_matters() -> None:
    """A skipped word, a prize of weight 0, the first and last ticket of a prize and the largest total are among them."""
    assert any(vector["skipped"] for vector in VECTORS)
    assert any(prize["weight"] == 0 for vector in VECTORS for prize in vector["prizes"])
    assert {499, 500} <= {vector["ticket"] for vector in VECTORS}
    assert max(sum(prize["weight"] for prize in vector["prizes"]) for vector in VECTORS) == 10**12


@settings(max_examples=300, deadline=None)
@given(
    seed=st.binary(min_size=1, max_size=100),
    table=odds_tables(),
    run=FIELDS,
    version=st.integers(0, 2**63),
    player=FIELDS,
    source=FIELDS,
    key=FIELDS,
    index=st.integers(0, 9),
)
def test_pick_is_the_plain_reading(seed: bytes, table: OddsTable, **fields: Any) -> None:
    """Any seed, table and name: the pick is what the plain reading says."""
    expected = spec_pick(seed, list(zip(table.keys, table.weights, strict=True)), fields)
    assert pick(seed, table, **fields) == expected[3]


@pytest.mark.parametrize("part", ["run", "player", "source", "key"])
@pytest.mark.parametrize("bad", ["a\nb", "\n", "\x00", "a\x7f", "\x85", "\x9f", "tab\t", "\r", "\ud800"])
def test_control_characters_are_refused(part: str, bad: str) -> None:
    """No field may hold what could make two draws share a name, or what UTF-8 cannot hold."""
    fields: dict[str, Any] = NAME | {part: bad}
    with pytest.raises(ValueError, match="control characters"):
        pick(SEED, OddsTable(("a",), (1,)), **fields)
    with pytest.raises(ValueError, match="control characters"):
        message(**fields, counter=0)


@pytest.mark.parametrize("odd", ["", "\u3000", "\u2028", "\ue000", "\U0010ffff", "\u200b", "拿鐵 🎁"])
def test_other_characters_are_taken(odd: str) -> None:
    """What merely looks unusual is not refused: a key is the caller's own."""
    fields = NAME | {"key": odd}
    assert pick(SEED, OddsTable(("a", "b"), (1, 1)), **fields) == spec_pick(SEED, [("a", 1), ("b", 1)], fields)[3]  # type: ignore[arg-type]


# Planted mistakes: the checks catch what they claim to catch.


def _modulo_bias(weights: Weights, word: int, words: int) -> int | None:
    return bisect_right(list(accumulate(weights)), word % sum(weights))


def _off_by_one_ticket(weights: Weights, word: int, words: int) -> int | None:
    ticket = word % sum(weights)
    return bisect_left(list(accumulate(weights)), ticket) if word < fair_limit(words, sum(weights)) else None


def _off_by_one_limit(weights: Weights, word: int, words: int) -> int | None:
    ticket = word % sum(weights)
    return bisect_right(list(accumulate(weights)), ticket) if word <= fair_limit(words, sum(weights)) else None


def _scaled(weights: Weights, word: int, words: int) -> int | None:
    return bisect_right(list(accumulate(weights)), word * sum(weights) // words)


def _float(weights: Weights, word: int, words: int) -> int | None:
    total = sum(weights)
    return min(bisect_right(list(accumulate(weights)), word / words * total), len(weights) - 1)


@pytest.mark.parametrize("mistake", [_modulo_bias, _off_by_one_ticket, _off_by_one_limit, _scaled, _float])
def test_wrong_arithmetic_is_caught(mistake: Decide) -> None:
    """Modulo bias, off-by-one in the ticket or the limit, scaling and floats all fail the exact counts."""
    with pytest.raises(AssertionError):
        check_exact_counts(mistake)


@pytest.mark.parametrize("mistake", [_modulo_bias, _off_by_one_ticket, _off_by_one_limit, _scaled])
def test_wrong_arithmetic_is_caught_in_64_bits(mistake: Decide) -> None:
    """The same mistakes fail at the edges of the real word size."""
    with pytest.raises(AssertionError):
        check_edges_of_64_bits(mistake)


def _reused_counter(seed: bytes, name: str, limit: int) -> int:
    words = list(zip(range(4), spec_words(seed, name), strict=False))
    return next((word for _, word in words if word < limit), words[0][1] % limit)


def _one_word_a_digest(seed: bytes, name: str, limit: int) -> int:
    return next(word for place, word in enumerate(spec_words(seed, name)) if place % 4 == 0 and word < limit)


def _little_endian(seed: bytes, name: str, limit: int) -> int:
    swapped = (int.from_bytes(word.to_bytes(8, "big"), "little") for word in spec_words(seed, name))
    return next(word for word in swapped if word < limit)


def _counter_from_one(seed: bytes, name: str, limit: int) -> int:
    return next(word for place, word in enumerate(spec_words(seed, name)) if place >= 4 and word < limit)


@pytest.mark.parametrize("mistake", [_reused_counter, _one_word_a_digest, _little_endian, _counter_from_one])
def test_wrong_words_are_caught(mistake: Accept) -> None:
    """A counter used again or begun at 1, three words of four thrown away, and swapped bytes fail the check of words."""
    with pytest.raises(AssertionError):
        check_words(mistake)


def _reused_seed(seed: bytes, table: OddsTable, **fields: Any) -> str:
    return pick(SEED, table, **fields)


def _same_for_all_indexes(seed: bytes, table: OddsTable, **fields: Any) -> str:
    return pick(seed, table, **fields | {"index": 0})


def _shared_between_sources(seed: bytes, table: OddsTable, **fields: Any) -> str:
    return pick(seed, table, **fields | {"source": "api"})


def _rerolling() -> Callable[..., str]:
    attempts: Counter[str] = Counter()

    def picker(seed: bytes, table: OddsTable, **fields: Any) -> str:
        attempts[fields["key"]] += 1
        attempt = attempts[fields["key"]]
        return pick(seed, table, **fields | ({"key": f"{fields['key']}#{attempt}"} if attempt > 1 else {}))

    return picker


@pytest.mark.parametrize(
    "mistake",
    [_reused_seed, _same_for_all_indexes, _shared_between_sources, _rerolling()],
    ids=lambda mistake: mistake.__name__,
)
def test_wrong_names_are_caught(mistake: Callable[..., str]) -> None:
    """One seed for all runs, one pick for a whole request, keys shared between sources, luck re-rolled on a retry: all fail."""
    with pytest.raises(AssertionError):
        check_pick(mistake)
