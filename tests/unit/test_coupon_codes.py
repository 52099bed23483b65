"""Reading a file of codes."""

from __future__ import annotations

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gamekit.coupons.codes import Rejected, read_batches


def read(content: bytes, size: int = 100) -> tuple[list[tuple[int, str]], list[Rejected]]:
    batches = list(read_batches(BytesIO(content), size))
    return [code for batch in batches for code in batch.codes], [one for batch in batches for one in batch.rejected]


def test_one_code_a_line() -> None:
    """Plain text is read as it is, with the line each code stands on; blank lines are nothing."""
    assert read(b"A1\nB2\n\n  C3  \nD4") == ([(1, "A1"), (2, "B2"), (4, "C3"), (5, "D4")], [])


def test_what_spreadsheets_do_is_forgiven() -> None:
    """A byte order mark, a header, Windows line ends, quotes and empty columns."""
    content = '\ufeffCode,,\r\n"A1",,\r\nB2,\r\n"C""3"\r\n代碼四\r\n'.encode()
    assert read(content) == ([(2, "A1"), (3, "B2"), (4, 'C"3'), (5, "代碼四")], [])


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"A" * 101, "has more than 100 characters"),
        (b"A" * 100_000, "has more than 100 characters"),
        (b"A B", "has a space inside"),
        ("A\u3000B".encode(), "has a space inside"),
        (b"A\x00B", "has control or invisible characters"),
        ("A\u200bB".encode(), "has control or invisible characters"),
        (b"A,B", "has more than one column"),
        (b"A\tB", "has more than one column"),
        (b'"A', "has quotes that do not match"),
        (b"\xb5\xc4", "is not UTF-8"),
    ],
)
def test_a_line_that_is_no_code_is_refused_alone(line: bytes, why: str) -> None:
    """Its number and the reason are told, and the lines around it are read."""
    assert read(b"FIRST\n" + line + b"\nLAST\n") == ([(1, "FIRST"), (3, "LAST")], [Rejected(2, why)])


def test_utf_16_is_recognized() -> None:
    """Excel's "Unicode text" is told apart from a file full of odd codes."""
    _, rejected = read("A1\nB2\n".encode("utf-16"))
    assert rejected[0] == Rejected(1, "the file is UTF-16; save it as CSV UTF-8")


def test_a_header_counts_only_at_the_top() -> None:
    """Further down, `CODE` is somebody's code."""
    assert read(b"code\ncode\n") == ([(2, "code")], [])


@given(st.binary(max_size=2000), st.integers(1, 7))
def test_any_file_is_read_line_by_line(content: bytes, size: int) -> None:
    """Whatever is in it, every line is a code, refused or blank, once; how many are read at a time changes nothing."""
    codes, rejected = read(content, size)
    assert (codes, rejected) == read(content, 10_000)
    numbers = [number for number, _ in codes] + [one.line for one in rejected]
    assert len(set(numbers)) == len(numbers)
    assert all(0 < number <= content.count(b"\n") + 1 for number in numbers)
    assert all(0 < len(code) <= 100 and " " not in code for _, code in codes)
