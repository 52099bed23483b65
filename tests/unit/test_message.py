from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gamekit.deliveries.message import (
    Buttons,
    Coupon,
    Message,
    OpenGame,
    OpenLink,
    SendBack,
    Text,
    message_from_json,
    message_to_json,
    shorten,
)
from gamekit.errors import InvalidInput

words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60).filter(str.strip)
buttons = st.one_of(
    st.builds(OpenGame, words, words), st.builds(OpenLink, words, words), st.builds(SendBack, words, words)
)
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(Text, words),
    st.builds(Buttons, words, st.lists(buttons, min_size=1, max_size=3).map(tuple)),
    st.builds(Coupon, title=words, code=words, url=st.none() | words, subtitle=st.none() | words),
)


@given(messages)
def test_a_message_comes_back_from_its_json(message: Message) -> None:
    """Every message survives the way through the outbox's JSON."""
    assert message_from_json(json.loads(json.dumps(message_to_json(message)))) == message


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ("hello", "message"),
        ({}, "message.type"),
        ({"type": "video"}, "message.type"),
        ({"type": "text"}, "message.text"),
        ({"type": "text", "text": " \n"}, "message.text"),
        ({"type": "buttons", "text": "x", "buttons": []}, "message.buttons"),
        ({"type": "buttons", "text": "x", "buttons": [1]}, "message.buttons[0]"),
        ({"type": "buttons", "text": "x", "buttons": [{"type": "call"}]}, "message.buttons[0].type"),
        ({"type": "buttons", "text": "x", "buttons": [{"type": "open_link", "title": "x"}]}, "message.buttons[0].url"),
        ({"type": "coupon", "title": "x"}, "message.code"),
        ({"type": "coupon", "title": "x", "code": 7}, "message.code"),
    ],
)
def test_what_is_no_message_is_refused_by_field(data: object, field: str) -> None:
    """A stored body that is no message names the field at fault."""
    with pytest.raises(InvalidInput) as refused:
        message_from_json(data)
    assert refused.value.problems[0].field == field


@given(st.text(max_size=80), st.integers(min_value=1, max_value=40))
def test_shortened_text_always_fits(text: str, limit: int) -> None:
    """Whatever the text, the shortened one is within the limit, and a text that fits is left alone."""
    short = shorten(text, limit)
    assert len(short.encode("utf-16-le", "surrogatepass")) // 2 <= limit
    if len(text.encode("utf-16-le", "surrogatepass")) // 2 <= limit:
        assert short == text


@pytest.mark.parametrize(
    ("text", "limit", "short"),
    [
        ("Two lattes for the price of one", 20, "Two lattes for the…"),
        ("拿鐵買一送一,全門市通用", 8, "拿鐵買一送一,…"),
        ("Unbreakablelongword", 8, "Unbreak…"),
        ("Cafe\u0301s", 5, "Caf…"),
        ("ab👨\u200d👩\u200d👧 family", 8, "ab…"),
        ("fits", 4, "fits"),
    ],
)
def test_shortening_cuts_at_words_and_whole_letters(text: str, limit: int, short: str) -> None:
    """A cut falls between words where one is near, and never inside an accented letter or a joined emoji."""
    assert shorten(text, limit) == short
