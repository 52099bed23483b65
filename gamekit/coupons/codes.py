"""Reading a file of coupon codes: one a line, as text or as the first column of a spreadsheet's CSV.

It forgives what spreadsheets do (a byte order mark, a header, quotes, trailing empty columns, blank lines) and refuses,
with the line's number and the reason, whatever could not be typed at a till. It never joins or guesses.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO

LONGEST_CODE = 100
_LONGEST_LINE = 4096
_HEADERS = frozenset(
    {
        "code",
        "codes",
        "coupon",
        "coupons",
        "coupon code",
        "coupon_code",
        "代碼",
        "序號",
        "優惠碼",
        "優惠券代碼",
        "兌換碼",
    }
)


@dataclass(frozen=True, slots=True)
class Rejected:
    """A line that is no code, counted from 1, and why."""

    line: int
    why: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Some lines of a file: the codes with their line numbers, and what was refused."""

    codes: list[tuple[int, str]]
    rejected: list[Rejected]
    upto: int
    """The number of the last line looked at."""


def read_batches(file: BinaryIO, size: int) -> Iterator[Batch]:
    """The file's codes, at most `size` lines at a time."""
    numbered = enumerate(_lines(file), 1)
    while lines := list(islice(numbered, size)):
        codes: list[tuple[int, str]] = []
        rejected: list[Rejected] = []
        for number, raw in lines:
            try:
                code = _read(raw, first=number == 1)
            except ValueError as error:
                rejected.append(Rejected(number, str(error)))
            else:
                if code:
                    codes.append((number, code))
        yield Batch(codes, rejected, lines[-1][0])


def _lines(file: BinaryIO) -> Iterator[bytes]:
    while line := file.readline(_LONGEST_LINE):
        yield line
        while len(line) == _LONGEST_LINE and not line.endswith(b"\n"):
            # The rest of a line that is refused for its length anyway.
            line = file.readline(_LONGEST_LINE)


def _read(raw: bytes, *, first: bool) -> str:
    """The code on a line; empty for a blank line or the header. Raises `ValueError` saying why it is none."""
    if first and raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ValueError("the file is UTF-16; save it as CSV UTF-8")
    try:
        text = raw.decode("utf-8-sig" if first else "utf-8").strip(" \t\r\n")
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None
    if '"' in text or "," in text or "\t" in text:
        text = _first_column(text)
    if first and text.casefold() in _HEADERS:
        return ""
    if len(text) > LONGEST_CODE:
        raise ValueError(f"has more than {LONGEST_CODE} characters")
    if " " in text or (text and not text.isprintable()):
        if any(character.isspace() for character in text):
            raise ValueError("has a space inside")
        raise ValueError("has control or invisible characters")
    return text


def _first_column(text: str) -> str:
    try:
        cells = next(csv.reader([text], delimiter="\t" if "\t" in text else ",", strict=True))
    except csv.Error:
        raise ValueError("has quotes that do not match") from None
    first, *others = (cell.strip() for cell in cells)
    if any(others):
        raise ValueError("has more than one column")
    return first
