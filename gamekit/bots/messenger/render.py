"""Neutral messages in Messenger's shape, every limit kept by shortening: a long text is cut, never a failed send.

Limits: Messenger Platform, templates (button, url button 2026-06-17; coupon 2026-03-17), send-messages 2026-05-05.
The lengths of a coupon's button and of the words before it are not documented; the nearest documented ones are used.
"""

from __future__ import annotations

import re
from typing import Any, assert_never

from gamekit.deliveries.message import Button, Buttons, Coupon, Message, OpenGame, OpenLink, SendBack, Text, shorten

TEXT = 2_000
TEMPLATE_TEXT = 640
BUTTON_TITLE = 20
PAYLOAD = 1_000
COUPON_TITLE = 80


def render(message: Message) -> dict[str, Any]:
    """The `message` of a Send API call."""
    match message:
        case Text(text):
            return {"text": shorten(text, TEXT)}
        case Buttons(text, buttons):
            return _template(
                {
                    "template_type": "button",
                    "text": shorten(text, TEMPLATE_TEXT),
                    "buttons": [_button(button) for button in buttons],
                }
            )
        case Coupon():
            return _coupon(message)
    assert_never(message)


def _coupon(coupon: Coupon) -> dict[str, Any]:
    if coupon.code is not None and re.search(r"\s", coupon.code):
        # The template takes no code with spaces in it; in words it is still the player's.
        words = f"{shorten(coupon.title, COUPON_TITLE)}\n{coupon.code}"
        if coupon.url is None:
            return render(Text(words))
        return render(Buttons(words, (OpenLink(coupon.url_title or coupon.title, coupon.url),)))
    fields = {
        "template_type": "coupon",
        "title": shorten(coupon.title, COUPON_TITLE),
        "subtitle": coupon.subtitle and shorten(coupon.subtitle, COUPON_TITLE),
        "coupon_code": coupon.code,
        "coupon_url": coupon.url,
        "coupon_url_button_title": coupon.url_title and coupon.url and shorten(coupon.url_title, BUTTON_TITLE),
        "coupon_pre_message": coupon.pre_message and shorten(coupon.pre_message, TEMPLATE_TEXT),
        "image_url": coupon.image_url,
    }
    return _template({name: value for name, value in fields.items() if value})


def _button(button: Button) -> dict[str, Any]:
    title = shorten(button.title, BUTTON_TITLE)
    match button:
        case OpenGame(_, url):
            return {
                "type": "web_url",
                "title": title,
                "url": url,
                "webview_height_ratio": "tall",
                # The link is the player's own; it is not to be passed on.
                "webview_share_button": "hide",
            }
        case OpenLink(_, url):
            return {"type": "web_url", "title": title, "url": url}
        case SendBack(_, payload):
            return {"type": "postback", "title": title, "payload": _first_units(payload, PAYLOAD)}
    assert_never(button)


def _first_units(text: str, limit: int) -> str:
    """The beginning of what is read by us alone; an ellipsis would say nothing."""
    return text.encode("utf-16-le")[: 2 * limit].decode("utf-16-le", "ignore")


def _template(payload: dict[str, Any]) -> dict[str, Any]:
    return {"attachment": {"type": "template", "payload": payload}}
