"""The kinds of value a campaign document is made of: what a key, a text, a colour or a day may look like.

A `…_FORM` completes "must be …"; it is the description of the fields of that kind, and so both what a wrong
value is answered with and what the API documents.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

MAX_STOCK = 10**9
MAX_MONEY = 10**12

_KEY = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_LOCALE = re.compile(r"[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?")
_COLOUR = re.compile(r"#[0-9A-Fa-f]{6}")
_CURRENCY = re.compile(r"[A-Z]{3}")
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
_REF = re.compile(r"[A-Za-z0-9_=-]{1,250}")
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}(/[A-Za-z0-9_][A-Za-z0-9._-]{0,199}){0,7}")
_WEB = re.compile(r"https://[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?/[!-~]{0,1000}")

KEY_FORM = 'lower-case letters, digits and hyphens, at most 64, starting with a letter or digit, such as "summer-wheel"'


def _matching(pattern: re.Pattern[str]) -> AfterValidator:
    def check(value: str) -> str:
        if not pattern.fullmatch(value):
            raise AssertionError  # the field's description says what is right
        return value

    return AfterValidator(check)


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be blank")
    return value


def _one_line(value: str) -> str:
    if "\n" in value or "\t" in value:
        raise ValueError("must be one line, without line breaks or tabs")
    return _not_blank(value)


def _picture(value: str) -> str:
    if not (_FILE.fullmatch(value) or _WEB.fullmatch(value)):
        raise AssertionError
    return value


def _calendar_day(value: object) -> object:
    # Pydantic would also take numbers and times of day for dates.
    if isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise AssertionError from None
    if type(value) is not date:
        raise AssertionError
    return value


Text = Annotated[
    str, Field(strict=True, max_length=2_000, description="text of 1 to 2,000 characters"), AfterValidator(_not_blank)
]
LongText = Annotated[
    str, Field(strict=True, max_length=20_000, description="text of 1 to 20,000 characters"), AfterValidator(_not_blank)
]
Locale = Annotated[str, Field(strict=True, max_length=16), _matching(_LOCALE)]
Texts = Annotated[dict[Locale, Text], Field(min_length=1, max_length=50)]
LongTexts = Annotated[dict[Locale, LongText], Field(min_length=1, max_length=50)]
Key = Annotated[str, Field(strict=True, max_length=64), _matching(_KEY)]
Picture = Annotated[str, Field(strict=True, max_length=1_500), AfterValidator(_picture)]
Colour = Annotated[str, Field(strict=True, max_length=7), _matching(_COLOUR)]
Keyword = Annotated[
    str,
    Field(strict=True, max_length=64, description="a word or phrase on one line of 1 to 64 characters"),
    AfterValidator(_one_line),
]
Ref = Annotated[str, Field(strict=True, max_length=250, description="1 to 250 letters, digits, - _ ="), _matching(_REF)]
TagText = Annotated[
    str, Field(strict=True, max_length=64, description="one line of 1 to 64 characters"), AfterValidator(_one_line)
]
SharedText = Annotated[str, Field(strict=True, max_length=100), AfterValidator(_one_line)]

TEXTS_FORM = 'a table of texts by locale, such as { en = "…", "zh-Hant" = "…" }, each of 1 to 2,000 characters'
LONG_TEXTS_FORM = 'a table of texts by locale, such as { en = "…", "zh-Hant" = "…" }, each of 1 to 20,000 characters'
PICTURE_FORM = 'a file name such as "latte.png" or an address that starts with https://'
COLOUR_FORM = 'a colour such as "#D2401D"'
MOMENT_FORM = "a date and time such as 2026-12-01T10:00:00+08:00"
MONEY_FORM = 'a table such as { amount = 9500, currency = "TWD" }, in minor units (cents)'
TimeOfDay = Annotated[str, Field(strict=True), _matching(_CLOCK)]
Currency = Annotated[str, Field(strict=True), _matching(_CURRENCY)]
CalendarDay = Annotated[date, BeforeValidator(_calendar_day)]
