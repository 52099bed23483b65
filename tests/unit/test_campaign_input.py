"""Bad campaigns: each fault is told once, at its field, with what would be right; and all faults are told together."""

from __future__ import annotations

import copy
import tomllib
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from gamekit.campaigns.schemas import MAX_PROBLEMS, CampaignDocument, parse_document
from gamekit.campaigns.sentences import shorten
from gamekit.errors import InvalidInput

SUMMER = tomllib.loads((Path(__file__).parents[1] / "vectors" / "summer-wheel.toml").read_text("utf-8"))


class _Absent:
    def __repr__(self) -> str:
        return "absent"


ABSENT = _Absent()


def _set(raw: dict[str, Any], path: tuple[str | int, ...], value: object) -> None:
    place: Any = raw
    for part in path[:-1]:
        if isinstance(place, dict) and part not in place:
            place[part] = {}
        place = place[part]
    if value is ABSENT:
        del place[path[-1]]
    else:
        place[path[-1]] = value


def _problems(*edits: tuple[tuple[str | int, ...], object]) -> dict[str, str]:
    """What is wrong with the summer wheel after these edits; a field told twice has both sentences."""
    raw = copy.deepcopy(SUMMER)
    for path, value in edits:
        _set(raw, path, value)
    with pytest.raises(InvalidInput) as caught:
        parse_document(raw)
    told: dict[str, str] = {}
    for problem in caught.value.problems:
        told[problem.field] = f"{told[problem.field]} | {problem.message}" if problem.field in told else problem.message
    return told


def _parsed(*edits: tuple[tuple[str | int, ...], object]) -> CampaignDocument:
    raw = copy.deepcopy(SUMMER)
    for path, value in edits:
        _set(raw, path, value)
    return parse_document(raw)


NAIVE = datetime.fromisoformat("2027-01-31T00:00:00")
LATTE, THANKS = ("prizes", 0), ("prizes", 1)
START = "2026-12-01T10:00:00+08:00"


@pytest.mark.parametrize(
    ("path", "value", "field", "says"),
    [
        # names
        (
            ("slug",),
            "Summer Wheel",
            "slug",
            "lower-case letters, digits and hyphens, at most 64, starting with a letter or digit",
        ),
        (("slug",), "x" * 10_000, "slug", "at most 64"),
        (("slug",), "-x", "slug", "starting with a letter"),
        (("slug",), "", "slug", "lower-case"),
        (("slug",), 5, "slug", "not 5"),
        (("slug",), ABSENT, "slug", "is missing; it must be"),
        (("slug",), "trailing\n", "slug", "lower-case"),
        (("game",), None, "game", "not null"),
        ((*LATTE, "key"), "läte", "prizes[0].key", "lower-case"),
        ((*THANKS, "key"), "latte", "prizes[1].key", '"latte" is already the key of prizes[0]'),
        # unknown keys
        (("prises",), [], "prises", 'did you mean "prizes"?'),
        (("start_at",), START, "start_at", 'did you mean "starts_at"?'),
        (("entirely-else",), 1, "entirely-else", "known are slug, game, timezone"),
        ((*LATTE, "wieght"), 1, "prizes[0].wieght", 'did you mean "weight"?'),
        ((*LATTE, "per-player"), 1, "prizes[0].per-player", 'did you mean "per_player"?'),
        ((*LATTE, "release", "unit"), 1, "prizes[0].release.unit", 'did you mean "units"?'),
        ((*LATTE, "value", "curency"), "X", "prizes[0].value.curency", 'did you mean "currency"?'),
        ((*LATTE, "expires", "day"), 1, "prizes[0].expires.day", 'did you mean "days"?'),
        (("chances", "perday"), 1, "chances.perday", 'did you mean "per_day"?'),
        (("limits", "wins"), 1, "limits.wins", "wins_per_player"),
        (("look", "b3"), "#000000", "look.b3", "known are brand, b1, b2, logo"),
        (("x" * 10_000,), 1, "x" * 39 + "…", "is not a known key"),
        # numbers
        ((*LATTE, "weight"), -1, "prizes[0].weight", "a whole number from 0 to 1,000,000,000,000, not -1"),
        ((*LATTE, "weight"), 10**12 + 1, "prizes[0].weight", "not 1000000000001"),
        ((*LATTE, "weight"), 10**400, "prizes[0].weight", "not such a large number"),
        ((*LATTE, "weight"), 1.5, "prizes[0].weight", "not 1.5"),
        ((*LATTE, "weight"), True, "prizes[0].weight", "not true"),
        ((*LATTE, "weight"), "500", "prizes[0].weight", 'not "500"'),
        ((*LATTE, "weight"), float("nan"), "prizes[0].weight", "not nan"),
        ((*LATTE, "weight"), ABSENT, "prizes[0].weight", "is missing"),
        ((*LATTE, "stock"), -4, "prizes[0].stock", "from 0 to 1,000,000,000"),
        ((*LATTE, "stock"), 10**10, "prizes[0].stock", "from 0 to 1,000,000,000"),
        ((*LATTE, "per_player"), 0, "prizes[0].per_player", "from 1 to 1,000,000"),
        ((*LATTE, "value", "amount"), 95.0, "prizes[0].value.amount", "minor units"),
        ((*LATTE, "value", "currency"), "NT$", "prizes[0].value.currency", 'such as "TWD"'),
        ((*LATTE, "cost"), 95, "prizes[0].cost", 'such as { amount = 9500, currency = "TWD" }'),
        (("chances", "total"), 0, "chances.total", "from 1 to 1,000,000"),
        (("chances", "per_day"), -1, "chances.per_day", "from 1 to 10,000"),
        (("limits", "wins_per_player"), "two", "limits.wins_per_player", 'not "two"'),
        # closed sets and shapes
        ((*LATTE, "kind"), "cupon", "prizes[0].kind", '"coupon", "gift", "points" or "nothing", not "cupon"'),
        ((*LATTE, "codes"), "pol", "prizes[0].codes", '"pool" or { shared = "LATTE2" }, not "pol"'),
        ((*LATTE, "codes"), 7, "prizes[0].codes", '"pool" or { shared = "LATTE2" }, not 7'),
        ((*LATTE, "codes"), {}, "prizes[0].codes.shared", "is missing"),
        ((*LATTE, "codes"), {"shared": "a\nb"}, "prizes[0].codes.shared", "one line"),
        ((*LATTE, "codes"), {"shared": "x" * 101}, "prizes[0].codes.shared", "1 to 100 characters"),
        (
            (*LATTE, "release"),
            "evenly",
            "prizes[0].release",
            'a table such as { kind = "per_day", units = 10 }, not "evenly"',
        ),
        ((*LATTE, "release", "kind"), "weekly", "prizes[0].release.kind", 'not "weekly"'),
        ((*LATTE, "fallback"), "yes", "prizes[0].fallback", "true for the one prize"),
        ((*LATTE, "expires"), {"days": 0}, "prizes[0].expires.days", "from 1 to 3,650"),
        ((*LATTE, "expires"), "31.1.2027", "prizes[0].expires", 'such as "2027-01-31", not "31.1.2027"'),
        ((*LATTE, "expires"), "2027-02-30", "prizes[0].expires", 'such as "2027-01-31"'),
        ((*LATTE, "expires"), 30, "prizes[0].expires", "{ days = 30 }"),
        ((*LATTE, "expires"), NAIVE, "prizes[0].expires", "{ days = 30 }"),
        ((*LATTE, "image"), "../../etc/passwd", "prizes[0].image", 'a file name such as "latte.png"'),
        ((*LATTE, "image"), "javascript:alert(1)", "prizes[0].image", "https://"),
        ((*LATTE, "image"), "http://example.com/x.png", "prizes[0].image", "https://"),
        (("look", "b1"), "red", "look.b1", 'a colour such as "#D2401D", not "red"'),
        (("look",), [], "look", "a table"),
        (("triggers",), "wheel", "triggers", "a table such as"),
        (("triggers", "keywords"), "wheel", "triggers.keywords", "a list of at most 100"),
        (
            ("triggers", "keywords"),
            ["a", 5],
            "triggers.keywords[1]",
            "a word or phrase on one line of 1 to 64 characters, not 5",
        ),
        (("triggers", "keywords"), ["a", "b", "A"], "triggers.keywords[2]", 'repeats "A"'),
        (("triggers", "refs"), ["sum mer"], "triggers.refs[0]", "letters, digits"),
        (("chances", "day_starts"), "24:00", "chances.day_starts", 'a time of day in quotes such as "00:00"'),
        (("prizes",), {}, "prizes", "written [[prizes]]"),
        (("prizes",), ABSENT, "prizes", "is missing"),
        ((*LATTE,), 5, "prizes[0]", "not 5"),
        ((*LATTE, "tags"), ["a"] * 2, "prizes[0].tags[1]", 'repeats "a"'),
        # texts
        (("name",), {}, "name", "a table of texts by locale"),
        (("name",), "Summer wheel", "name", 'such as { en = "…", "zh-Hant" = "…" }'),
        (("name",), {"zh_TW": "夏"}, "name.zh_TW", 'write one such as "en", "zh-Hant"'),
        (("name", "en"), 5, "name.en", "text of 1 to 2,000 characters, not 5"),
        (("name", "en"), "x" * 2_001, "name.en", "text of 1 to 2,000 characters"),
        (("name", "en"), " \n ", "name.en", "must not be blank"),
        (("terms", "en"), "x" * 20_001, "terms.en", "text of 1 to 20,000 characters"),
        (("name", "en"), "bell\x07", "name.en", "a control character (U+0007) at position 5"),
        (("name", "en"), "half \ud83c", "name.en", "not valid UTF-8"),
        (("options",), {"a\x00": 1}, "options", "has a key with a control character (U+0000)"),
        (
            (*LATTE, "message", "en"),
            "You won {prise}",
            "prizes[0].message.en",
            "names {prise}; it can name {prize} and {code}",
        ),
        ((*THANKS, "message"), {"en": "Code {code}"}, "prizes[1].message.en", "this prize has no codes"),
        # time
        (("timezone",), "Asia/Taipe", "timezone", 'did you mean "Asia/Taipei"?'),
        (("timezone",), "taipei", "timezone", 'did you mean "Asia/Taipei"?'),
        (("timezone",), "asia/taipei", "timezone", 'did you mean "Asia/Taipei"?'),
        (("timezone",), "../../../etc/passwd", "timezone", "is not a known time zone"),
        (("timezone",), "localtime", "timezone", "is not a known time zone"),
        (("timezone",), "x" * 10_000, "timezone", 'such as "Asia/Taipei"'),
        (("timezone",), 8, "timezone", 'such as "Asia/Taipei"'),
        (("timezone",), ABSENT, "timezone", "is missing"),
        (("starts_at",), "tomorrow", "starts_at", "such as 2026-12-01T10:00:00+08:00"),
        (("starts_at",), "2026-02-30T10:00:00Z", "starts_at", "there is no such day or time"),
        (("starts_at",), 1796090400, "starts_at", "a date and time such as"),
        (("starts_at",), NAIVE.replace(year=1), "starts_at", "between the years 2000 and 2199"),
        (("ends_at",), "9999-12-31T23:59:59-12:00", "ends_at", "between the years 2000 and 2199"),
        (("ends_at",), START, "ends_at", "must be after starts_at (2026-12-01T10:00:00+08:00)"),
        (("ends_at",), "2026-11-30T00:00:00+08:00", "ends_at", "must be after starts_at"),
        # rules across fields
        ((*THANKS, "stock"), 5, "prizes[1].stock", "must be left out: the fallback never runs out"),
        ((*THANKS, "per_player"), 5, "prizes[1].per_player", "the fallback is what a capped player gets"),
        ((*THANKS, "release"), {"kind": "per_day", "units": 1}, "prizes[1].release", "the fallback is always there"),
        ((*THANKS, "fallback"), False, "prizes", "have no fallback; mark the one prize"),
        ((*THANKS, "fallback"), ABSENT, "prizes", "have no fallback"),
        ((*LATTE, "codes"), ABSENT, "prizes[0].codes", "a coupon prize needs codes"),
        ((*LATTE, "kind"), "gift", "prizes[0].codes", "only a coupon prize has codes"),
        ((*LATTE, "release"), {"kind": "per_day"}, "prizes[0].release.units", "such as units = 10"),
        ((*LATTE, "release"), {"kind": "per_day", "units": 0}, "prizes[0].release.units", "a whole number from 1"),
        ((*LATTE, "release"), {"kind": "evenly", "units": 3}, "prizes[0].release.units", 'belongs to kind "per_day"'),
        ((*LATTE, "release"), {"kind": "moments"}, "prizes[0].release.moments", "is missing"),
        ((*LATTE, "release"), {"kind": "moments", "moments": []}, "prizes[0].release.moments", "at least one"),
        (
            (*LATTE, "release"),
            {"kind": "moments", "moments": "noon"},
            "prizes[0].release.moments",
            "a list of at most 1,000 moments",
        ),
        (
            (*LATTE, "release"),
            {"kind": "moments", "moments": ["noon"]},
            "prizes[0].release.moments[0]",
            "a date and time such as",
        ),
        (
            (*LATTE, "release"),
            {"kind": "all", "moments": [START]},
            "prizes[0].release.moments",
            'belongs to kind "moments"',
        ),
        ((*LATTE, "expires"), "2026-12-30", "prizes[0].expires", "not be before the campaign's last day (2026-12-31)"),
        # options
        (("options",), {"x": None}, "options.x", "leave the key out"),
        (("options",), {"x": [1, {"y": float("inf")}]}, "options.x[1].y", "a finite number"),
        (("options",), {"x": 2**53}, "options.x", "9007199254740991"),
        (("options",), {"x": NAIVE}, "options.x", "text in quotes"),
        (("options",), {"x": b"bytes"}, "options.x", "not bytes"),
        (("options",), {"x": "y" * 70_000}, "options", "at most 65,536 characters"),
        (("options",), {1: 2}, "options", "must have text for its keys"),
        (("options",), [], "options", "a table of the game's own options"),
    ],
    ids=lambda value: ".".join(map(str, value))[:40] if isinstance(value, tuple) else shorten(repr(value), 24),
)
def test_one_fault_is_told_once_at_its_field(path: tuple[str | int, ...], value: object, field: str, says: str) -> None:
    """A single fault gives a single problem: its field, and a sentence with what would be right."""
    told = _problems((path, value))
    assert list(told) == [field]
    assert says in told[field]
    assert " | " not in told[field]
    assert len(told[field]) < 400


def test_moments_must_be_sorted_and_within_the_campaign() -> None:
    """Each moment out of order or outside the opening is named by its place."""
    moments = [
        "2026-12-05T00:00:00+08:00",
        "2026-12-04T00:00:00+08:00",
        "2026-12-04T00:00:00+08:00",
        "2027-01-01T00:00:00+08:00",
    ]
    told = _problems(((*LATTE, "release"), {"kind": "moments", "moments": ["2026-11-30T00:00:00Z", *moments]}))
    assert list(told) == [f"prizes[0].release.moments[{place}]" for place in (0, 2, 3, 4)]
    assert "must not be before the campaign's starts_at" in told["prizes[0].release.moments[0]"]
    assert "after the moment before it" in told["prizes[0].release.moments[2]"]
    assert "must be before the campaign's ends_at" in told["prizes[0].release.moments[4]"]


def test_a_release_over_time_needs_something_to_release() -> None:
    """Without a stock or a pool, only "all" makes sense; with a pool it does, and evenly needs an end."""
    shared: tuple[tuple[str | int, ...], object] = ((*LATTE, "codes"), {"shared": "LATTE2"})
    unlimited: tuple[tuple[str | int, ...], object] = ((*LATTE, "stock"), ABSENT)
    assert 'codes = "pool"' in _problems(shared, unlimited)["prizes[0].stock"]
    assert _parsed(unlimited).prizes[0].stock is None
    evenly: tuple[tuple[str | int, ...], object] = ((*LATTE, "release"), {"kind": "evenly"})
    assert _parsed(evenly).prizes[0].release.kind == "evenly"
    assert list(_problems(evenly, (("ends_at",), ABSENT))) == ["prizes[0].release.kind"]


def test_exactly_one_fallback() -> None:
    """A second fallback is named, and where the first is."""
    told = _problems(
        ((*LATTE, "fallback"), True),
        ((*LATTE, "stock"), ABSENT),
        ((*LATTE, "release"), ABSENT),
        ((*LATTE, "per_player"), ABSENT),
        ((*LATTE, "codes"), {"shared": "X"}),
    )
    assert told == {
        "prizes[1].fallback": "must be left out: prizes[0] is the fallback already, and exactly one prize can be"
    }
    assert "a pool does" in _problems(((*LATTE, "fallback"), True), ((*THANKS, "fallback"), False))["prizes[0].codes"]


def test_a_fallback_may_be_any_kind_that_needs_no_stock() -> None:
    """Points, a gift without stock, or one shared code for everyone."""
    for kind, codes in (("points", ABSENT), ("gift", ABSENT), ("coupon", {"shared": "HELLO"})):
        edits: list[tuple[tuple[str | int, ...], object]] = [((*THANKS, "kind"), kind)]
        if codes is not ABSENT:
            edits.append(((*THANKS, "codes"), codes))
        assert _parsed(*edits).fallback.kind == kind


def test_weights_must_leave_something_to_draw() -> None:
    """All weights 0, or a sum beyond 10**12, are told for the prizes as a whole; one weight of 0 is fine."""
    assert "weights of 0" in _problems(((*LATTE, "weight"), 0), ((*THANKS, "weight"), 0))["prizes"]
    assert "1,000,000,000,000" in _problems(((*LATTE, "weight"), 10**12))["prizes"]
    assert _parsed(((*THANKS, "weight"), 0)).table().total == 500


def test_the_number_of_prizes_is_bounded() -> None:
    """None, or more than 200, are told in one sentence; 200 are fine."""
    assert _problems((("prizes",), [])) == {"prizes": "must be 1 to 200 prizes, not 0"}
    latte, thanks = SUMMER["prizes"]
    many = [thanks, *(latte | {"key": f"latte-{number}"} for number in range(199))]
    assert len(_parsed((("prizes",), many)).prizes) == 200
    assert _problems((("prizes",), [*many, latte])) == {"prizes": "must be 1 to 200 prizes, not 201"}
    chances = [{key: value for key, value in prize.items() if key != "weight"} | {"chance": "1%"} for prize in many]
    assert _problems((("prizes",), [*chances, latte])) == {"prizes": "must be 1 to 200 prizes, not 201"}


def _chances(latte: object, thanks: object) -> tuple[tuple[tuple[str | int, ...], object], ...]:
    edits: list[tuple[tuple[str | int, ...], object]] = [((*LATTE, "weight"), ABSENT), ((*THANKS, "weight"), ABSENT)]
    edits += [
        ((*place, "chance"), chance) for place, chance in ((LATTE, latte), (THANKS, thanks)) if chance is not ABSENT
    ]
    return tuple(edits)


def test_chances_become_exact_weights() -> None:
    """Percentages become integers of exactly that share; a fallback without one gets what is left."""
    assert [prize.weight for prize in _parsed(*_chances("5%", "95%")).prizes] == [5_000_000, 95_000_000]
    assert [prize.weight for prize in _parsed(*_chances("0.000001%", ABSENT)).prizes] == [1, 99_999_999]
    assert [prize.weight for prize in _parsed(*_chances("100%", ABSENT)).prizes] == [100_000_000, 0]


def test_wrong_chances_are_told() -> None:
    """Over 100 %, under it, unreadable, missing, or mixed with weights: one sentence each."""
    assert "add up to 104 %, which is 4 % too much" in _problems(*_chances("5%", "99%"))["prizes"]
    assert "add up to 104 %" in _problems(*_chances("5%", "99%"))["prizes"]
    assert "give the missing 1 %" in _problems(*_chances("5%", "94%"))["prizes"]
    assert list(_problems(*_chances("5", "95%"))) == ["prizes[0].chance"]
    assert list(_problems(*_chances(5, "95%"))) == ["prizes[0].chance"]
    assert list(_problems(*_chances(None, "95%"))) == ["prizes[0].chance"]
    assert list(_problems(*_chances(ABSENT, "95%"))) == ["prizes[0].chance"]
    assert _problems(((*LATTE, "weight"), ABSENT), ((*LATTE, "chance"), "5%")) == {
        "prizes": "mix weight and chance; use weight for all prizes of a file, or chance for all"
    }


def test_all_faults_are_told_at_once() -> None:
    """Faults of shape, of time, of chances and across fields come together, and the message counts them."""
    raw = copy.deepcopy(SUMMER)
    for path, value in [
        (("slug",), "A B"),
        (("game",), ABSENT),
        (("name", "en"), "bell\x07"),
        (("timezone",), "Asia/Taipe"),
        (("ends_at",), "2026-02-31T00:00:00Z"),
        (("look", "b1"), "red"),
        ((*LATTE, "wieght"), 3),
        ((*LATTE, "stock"), -4),
        ((*LATTE, "kind"), "gift"),
        ((*LATTE, "message", "en"), "{x}"),
        ((*THANKS, "stock"), 5),
        ((*THANKS, "key"), "latte"),
    ]:
        _set(raw, path, value)
    with pytest.raises(InvalidInput) as caught:
        parse_document(raw)
    assert sorted(problem.field for problem in caught.value.problems) == [
        "ends_at",
        "game",
        "look.b1",
        "name.en",
        "prizes[0].codes",
        "prizes[0].message.en",
        "prizes[0].stock",
        "prizes[0].wieght",
        "prizes[1].key",
        "prizes[1].stock",
        "slug",
        "timezone",
    ]
    assert str(caught.value).endswith("(and 11 more)")


def test_no_more_than_a_hundred_faults_are_listed() -> None:
    """Beyond a hundred the rest is counted."""
    told = _problems(
        (("triggers", "keywords"), list(range(50))), *((("options", f"x{number}"), None) for number in range(80))
    )
    assert len(told) == MAX_PROBLEMS + 1
    assert told[""] == "and 30 more problems; correct these first"


@pytest.mark.parametrize("data", [None, [], "slug", 5])
def test_only_a_table_is_a_campaign(data: object) -> None:
    """Anything but a table is refused."""
    with pytest.raises(InvalidInput, match="must be a table"):
        parse_document(data)


def test_deep_nesting_is_told() -> None:
    """Options nested a thousand deep are refused, not followed to the end of the stack."""
    deep: Any = 1
    for _ in range(1_000):
        deep = [deep]
    raw = copy.deepcopy(SUMMER) | {"options": {"x": deep}}
    with pytest.raises(InvalidInput, match="nested too deeply"):
        parse_document(raw)


def test_input_is_left_alone() -> None:
    """Reading changes nothing in the data it was given."""
    raw = copy.deepcopy(SUMMER)
    _set(raw, (*LATTE, "release"), {"kind": "moments", "moments": ["2026-12-05T00:00:00"]})
    before = copy.deepcopy(raw)
    parse_document(raw)
    assert raw == before


def test_line_ends_become_newlines() -> None:
    """A file written on Windows says the same as one that was not."""
    assert _parsed((("terms", "en"), "one\r\ntwo\rthree")).terms == SUMMER["terms"] | {"en": "one\ntwo\nthree"}
