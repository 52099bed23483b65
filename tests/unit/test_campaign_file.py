"""A campaign as a file: the design's example, the layout that is written, and files that are no TOML."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gamekit.campaigns.file import MAX_FILE, dump_toml, load, parse_toml
from gamekit.campaigns.schemas import parse_document
from gamekit.errors import InvalidInput

SUMMER = (Path(__file__).parents[1] / "vectors" / "summer-wheel.toml").read_text("utf-8")

WRITTEN = """\
slug = "summer-wheel"
game = "wheel"
timezone = "Asia/Taipei"
starts_at = 2026-12-01T10:00:00+08:00
ends_at = 2026-12-31T23:59:59+08:00
name = { zh-Hant = "夏日輪盤", en = "Summer wheel" }
terms = { zh-Hant = "…", en = "…" }
privacy = { zh-Hant = "…", en = "…" }
triggers = { keywords = ["抽獎", "輪盤", "wheel"], refs = ["summer"] }

[look]
brand = { zh-Hant = "午後三點", en = "Three PM" }
b1 = "#D2401D"
b2 = "#0D6273"
logo = "logo.png"

[chances]
total = 5
per_day = 1

[limits]
wins_per_player = 2

[[prizes]]
key = "latte"
kind = "coupon"
name = { zh-Hant = "拿鐵買一送一", en = "Latte, two for one" }
weight = 500  # 5%, 1 in 20
stock = 100
codes = "pool"
release = { kind = "per_day", units = 10 }
per_player = 1
value = { amount = 9500, currency = "TWD" }
expires = { days = 30 }
image = "latte.png"
tags = ["won-latte"]
message = { zh-Hant = "恭喜獲得 {prize}!代碼 {code}", en = "You won {prize}! Code {code}" }

[[prizes]]
key = "thanks"
kind = "nothing"
fallback = true
name = { zh-Hant = "銘謝惠顧", en = "Thank you" }
weight = 9500  # 95%
"""


def test_the_example_of_the_design_loads() -> None:
    """Every field of the documented example arrives."""
    document = parse_toml(SUMMER)
    assert (document.slug, document.game, document.timezone) == ("summer-wheel", "wheel", "Asia/Taipei")
    assert document.starts_at == datetime(2026, 12, 1, 2, tzinfo=UTC)
    assert document.ends_at == datetime(2026, 12, 31, 15, 59, 59, tzinfo=UTC)
    assert document.locales == ("en", "zh-Hant")
    assert document.triggers.keywords == ("抽獎", "輪盤", "wheel")
    assert document.triggers.refs == ("summer",)
    assert document.look.b2 == "#0D6273"
    assert document.look.brand is not None
    assert document.options == {}
    assert (document.chances.total, document.chances.per_day, document.chances.day_starts) == (5, 1, "00:00")
    assert document.limits.wins_per_player == 2
    latte, thanks = document.prizes
    assert (latte.key, latte.kind, latte.weight, latte.stock, latte.codes) == ("latte", "coupon", 500, 100, "pool")
    assert (latte.release.kind, latte.release.units, latte.per_player) == ("per_day", 10, 1)
    assert latte.value is not None
    assert (latte.value.amount, latte.value.currency) == (9500, "TWD")
    assert latte.tags == ("won-latte",)
    assert document.fallback is thanks
    assert document.table().total == 10_000


def test_a_written_file_reads_like_one_a_person_wrote() -> None:
    """The order is the example's, short tables stay on a line, long ones get a section, weights carry their odds."""
    assert dump_toml(parse_toml(SUMMER)) == WRITTEN
    assert parse_toml(WRITTEN) == parse_toml(SUMMER)


def test_long_texts_are_written_over_several_lines() -> None:
    """Terms of several paragraphs become a section with line breaks, and come back exactly."""
    terms = '\n  First.\n\n[not a section]\n"""quoted""" and \\ at the end \\\n' + "x" * 100 + "\n"
    document = parse_document(tomllib.loads(SUMMER) | {"terms": {"en": terms}})
    written = dump_toml(document)
    assert '\n[terms]\nen = """\n\n  First.\n\n[not a section]\n' in written
    assert parse_toml(written) == document


def test_local_times_are_read_in_the_campaigns_zone() -> None:
    """A time without an offset is the campaign's own; it is written with the offset in force then."""
    text = SUMMER.replace("2026-12-01T10:00:00+08:00", "2026-07-01T10:00:00").replace("Asia/Taipei", "Europe/Berlin")
    document = parse_toml(text)
    assert document.starts_at is not None
    assert document.starts_at.isoformat() == "2026-07-01T10:00:00+02:00"
    assert "starts_at = 2026-07-01T10:00:00+02:00\nends_at = 2026-12-31T16:59:59+01:00\n" in dump_toml(document)


def test_day_starts_may_be_a_toml_time() -> None:
    """`05:30:00` without quotes means "05:30"."""
    assert parse_toml(SUMMER.replace('"00:00"', "05:30:00")).chances.day_starts == "05:30"
    with pytest.raises(InvalidInput, match="a time of day"):
        parse_toml(SUMMER.replace('"00:00"', "05:30:15"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('slug = "a"\nname = {', r"not valid TOML: .*line 2, column \d+"),
        ('slug = "a"\nslug = "b"', r"not valid TOML: .*line 2, column \d+"),
        ("slug = a", r"line 1, column 8"),
        ("a = 2026-13-01", r"not valid TOML: .*line 1"),
        ("a = " + "9" * 5_000, "far too many digits"),
        ("a = " + "[" * 100_000, "nested too deeply"),
        ("#" * (MAX_FILE + 1), "too long"),
        (b"slug = 'a'\n# \xff", "not UTF-8: byte 0xFF on line 2; save it as UTF-8 text"),
        ("抽獎".encode("big5"), "not UTF-8"),
        (b"slug = 'a'\x00", "not valid TOML"),
    ],
    ids=range(10),
)
def test_files_that_are_no_toml(text: str | bytes, says: str) -> None:
    """What cannot be read is told with its line and column."""
    with pytest.raises(InvalidInput, match=f"^The file .*{says}") as caught:
        load(text)
    assert caught.value.problems[0].field == "file"


def test_a_byte_order_mark_is_no_fault() -> None:
    """Windows editors put one before the text."""
    assert load(b"\xef\xbb\xbfslug = 'a'") == {"slug": "a"}


def test_stock_and_weights_of_200_prizes_fit() -> None:
    """The largest campaign is written and read back."""
    raw = tomllib.loads(SUMMER)
    latte, thanks = raw["prizes"]
    raw["prizes"] = [thanks, *(latte | {"key": f"latte-{number}", "weight": number} for number in range(199))]
    document = parse_document(raw)
    assert parse_toml(dump_toml(document)) == document
