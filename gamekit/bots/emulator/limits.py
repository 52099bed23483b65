"""The Send API's own rules for a message, as documented; what breaks one is refused as the Graph API does.

Written apart from the adapter's rendering, so that a mistake in one does not hide in the other.
Source: Messenger Platform, templates (button; url button 2026-06-17; generic 2026-04-22; coupon 2026-03-17).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

_BUTTON_KEYS = {
    "web_url": {
        "type",
        "title",
        "url",
        "webview_height_ratio",
        "webview_share_button",
        "messenger_extensions",
        "fallback_url",
    },
    "postback": {"type", "title", "payload"},
}
_COUPON_KEYS = {
    "template_type",
    "title",
    "subtitle",
    "coupon_code",
    "coupon_url",
    "coupon_url_button_title",
    "coupon_pre_message",
    "image_url",
    "payload",
}


class Broken(Exception):
    """A rule of the Send API is broken; the argument says which."""


def check_message(message: object, *, https_only: bool) -> None:
    """Raises `Broken` where `message` is not one the Send API takes."""
    fields = _object(message, "message")
    if ("text" in fields) == ("attachment" in fields):
        raise Broken("message must have either text or attachment")
    if "text" in fields:
        _text(fields, "text", 2_000)
        return
    attachment = _object(fields["attachment"], "message[attachment]")
    if attachment.get("type") != "template":
        raise Broken("message[attachment][type] must be template here")
    payload = _object(attachment.get("payload"), "message[attachment][payload]")
    match payload.get("template_type"):
        case "button":
            _text(payload, "text", 640)
            _buttons(payload.get("buttons"), https_only=https_only)
        case "coupon":
            _coupon(payload, https_only=https_only)
        case other:
            raise Broken(f"template_type {str(other)[:40]!r} is not emulated; button and coupon are")


def _coupon(payload: Mapping[str, Any], *, https_only: bool) -> None:
    if unknown := sorted(set(payload) - _COUPON_KEYS):
        raise Broken(f"{unknown[0]} is no field of a coupon")
    _text(payload, "title", 80)
    if "subtitle" in payload:
        _text(payload, "subtitle", 80)
    code, url = payload.get("coupon_code"), payload.get("coupon_url")
    if code is None and url is None:
        raise Broken("coupon_code or coupon_url is required")
    if code is not None and (not isinstance(code, str) or not code or re.search(r"\s", code)):
        raise Broken("coupon_code must have no spaces")
    for name in ("coupon_url", "image_url"):
        if name in payload:
            _url(payload[name], name, https_only=https_only)
    if "coupon_url_button_title" in payload and url is None:
        raise Broken("coupon_url_button_title needs coupon_url")


def _buttons(buttons: object, *, https_only: bool) -> None:
    if not isinstance(buttons, list) or not 1 <= len(buttons) <= 3:
        raise Broken("buttons must be a list of 1 to 3")
    for button in buttons:
        fields = _object(button, "button")
        keys = _BUTTON_KEYS.get(str(fields.get("type")))
        if keys is None:
            raise Broken("a button's type must be web_url or postback here")
        if unknown := sorted(set(fields) - keys):
            raise Broken(f"{unknown[0]} is no field of this button")
        _text(fields, "title", 20)
        if fields["type"] == "postback":
            _text(fields, "payload", 1_000)
            continue
        _url(fields.get("url"), "url", https_only=https_only)
        if fields.get("webview_height_ratio", "full") not in ("compact", "tall", "full"):
            raise Broken("webview_height_ratio must be compact, tall or full")
        if fields.get("webview_share_button", "hide") != "hide":
            raise Broken("webview_share_button can only be hide")


def _url(value: object, name: str, *, https_only: bool) -> None:
    if not isinstance(value, str) or any(ord(letter) <= 32 for letter in value):
        raise Broken(f"{name} must be an address")
    try:
        parts = urlsplit(value)
    except ValueError:
        raise Broken(f"{name} must be an address") from None
    if parts.scheme not in (("https",) if https_only else ("http", "https")) or not parts.netloc:
        raise Broken(f"{name} must start with https://")


def _text(fields: Mapping[str, Any], name: str, limit: int) -> None:
    value = fields.get(name)
    if not isinstance(value, str) or not value.strip():
        raise Broken(f"{name} must not be empty")
    if len(value.encode("utf-16-le", "surrogatepass")) // 2 > limit:
        raise Broken(f"length of {name} must be at most {limit}")


def _object(value: object, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Broken(f"{name} must be an object")
    return value
