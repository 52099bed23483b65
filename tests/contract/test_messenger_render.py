from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gamekit.bots.emulator.limits import Broken, check_message
from gamekit.bots.messenger.render import render
from gamekit.deliveries.message import Buttons, Coupon, Message, OpenGame, OpenLink, SendBack, Text, message_from_json

GOLDEN: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "golden/messenger.json").read_text())
words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40).filter(str.strip)
long_words = st.one_of(words, st.builds(lambda word, times: word * times, words, st.integers(1, 300)))
urls = st.just("https://shop.example/c/1?t=a")
buttons = st.one_of(
    st.builds(OpenGame, long_words, urls),
    st.builds(OpenLink, long_words, urls),
    st.builds(SendBack, long_words, long_words),
)
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(Text, long_words),
    st.builds(Buttons, long_words, st.lists(buttons, min_size=1, max_size=3).map(tuple)),
    st.builds(
        Coupon,
        title=long_words,
        code=words,
        url=st.none() | urls,
        subtitle=st.none() | long_words,
        url_title=st.none() | long_words,
        pre_message=st.none() | long_words,
    ),
)


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_a_message_has_its_golden_shape(name: str) -> None:
    """Each neutral message becomes exactly the recorded Send API message."""
    assert render(message_from_json(GOLDEN[name]["message"])) == GOLDEN[name]["rendered"]


@given(messages)
def test_every_message_keeps_the_platforms_limits(message: Message) -> None:
    """However long its texts, a rendered message is one the emulated platform takes."""
    check_message(render(message), https_only=True)


@given(st.text(min_size=1, max_size=30).filter(str.strip))
def test_a_code_is_never_cut(code: str) -> None:
    """A coupon's code is shown whole, also one that the coupon template does not take."""
    shown = json.dumps(render(Coupon("Two for one", code=code)), ensure_ascii=False)
    assert json.dumps(code, ensure_ascii=False)[1:-1] in shown


@pytest.mark.parametrize(
    ("message", "rule"),
    [
        ({}, "either text or attachment"),
        ({"text": "x" * 2001}, "at most 2000"),
        ({"attachment": {"type": "image"}}, "must be template"),
        (render(Buttons("x", (OpenLink("y", "ftp://a.example"),))), "https"),
        (render(Buttons("x", (OpenLink("y", "http://a.example"),))), "https"),
        ({"attachment": {"type": "template", "payload": {"template_type": "button", "text": "x"}}}, "1 to 3"),
        ({"attachment": {"type": "template", "payload": {"template_type": "coupon", "title": "x"}}}, "required"),
        (
            {
                "attachment": {
                    "type": "template",
                    "payload": {"template_type": "coupon", "title": "x", "coupon_code": "a b"},
                }
            },
            "no spaces",
        ),
        ({"attachment": {"type": "template", "payload": {"template_type": "coupon", "title": "x" * 81}}}, "at most 80"),
    ],
)
def test_the_emulated_platform_refuses_what_breaks_a_rule(message: dict[str, Any], rule: str) -> None:
    """The emulator's own check of the documented limits bites."""
    with pytest.raises(Broken, match=rule):
        check_message(message, https_only=True)
