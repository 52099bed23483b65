"""What every page of ours is built on: languages, colours, static files, sealed values, the origin check."""

from __future__ import annotations

import gzip
from dataclasses import dataclass

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError
from starlette.applications import Starlette
from starlette.requests import Request

from gamekit.entropy import SystemEntropy
from gamekit.errors import Forbidden
from gamekit.http.assets import Assets
from gamekit.http.errors import handlers
from gamekit.http.i18n import accepted_languages, choose_language, load_catalogues
from gamekit.http.pages import Pages
from gamekit.http.security import PLAYER_PAGE, STAFF_PAGE, require_same_origin
from gamekit.http.sessions import Sealer
from webviews.theme import READABLE, contrast, theme_css


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("zh-TW,zh;q=0.9,en-US;q=0.8", "zh-Hant"),
        ("zh-HK", "zh-Hant"),
        ("zh-CN", "zh-Hant"),
        ("en-GB,en;q=0.9", "en"),
        ("fr;q=0.9, en;q=0.4", "en"),
        ("en;q=0.1, zh;q=0.9", "zh-Hant"),
        ("fr", "zh-Hant"),
        ("", "zh-Hant"),
        ("*;q=x,;;,en;q=zero", "zh-Hant"),
    ],
)
def test_a_reader_gets_the_nearest_language(header: str, language: str) -> None:
    """Exact, then by base, then the default; what cannot be read is left out."""
    assert choose_language(accepted_languages(header), ("en", "zh-Hant")) == language


@pytest.mark.parametrize("package", ["webviews", "games.wheel"])
def test_every_language_has_every_text(package: str) -> None:
    """Both languages are there, with the same keys and the same blanks to fill."""
    catalogues = load_catalogues(package)
    assert set(catalogues) == {"en", "zh-Hant"}
    for key, text in catalogues["en"].items():
        blanks = {part.split("}")[0] for part in text.split("{")[1:]}
        assert blanks == {part.split("}")[0] for part in catalogues["zh-Hant"][key].split("{")[1:]}, key


COLOUR = st.integers(0, 0xFFFFFF).map(lambda value: f"#{value:06X}")


@given(b1=COLOUR, b2=COLOUR)
def test_text_on_a_brand_colour_can_be_read(b1: str, b2: str) -> None:
    """For any two colours the theme's text on them has the contrast WCAG asks for."""
    pairs = (pair.split(":") for pair in theme_css(b1, b2).strip()[6:-2].split(";"))
    theme = {name.removeprefix("--"): value for name, value in pairs}
    assert contrast(theme["b1"], theme["on-b1"]) >= READABLE
    assert contrast(theme["b2"], theme["on-b2"]) >= READABLE


def test_shades_are_those_of_the_look() -> None:
    """The product's own red gets the shades that the look's table gives."""
    css = theme_css(None, None)
    assert "--b1:#D2401D;" in css
    assert "--b1-hi:#F2642A;" in css
    assert "--b1-lo:#9F1501;" in css


async def test_static_files_are_named_by_content_and_kept(page_files: Assets) -> None:
    """A current address may be kept for ever; one of another release is served but not kept; packed where wanted."""
    url = page_files.url("webviews", "play.js")
    app = Starlette(routes=[page_files.route()], exception_handlers=handlers())
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as web:
        kept = await web.get(url, headers={"Accept-Encoding": "gzip"})
        assert kept.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert kept.headers["content-encoding"] == "gzip"
        assert kept.headers["content-type"].startswith("text/javascript")
        plain = await web.get(url, headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in plain.headers
        assert plain.content == kept.content
        assert len(gzip.compress(plain.content)) < len(plain.content)
        other = await web.get(url.replace("webviews-", "webviews-0"))
        assert (other.status_code, other.headers["cache-control"]) == (200, "no-store")
        for missing in (
            "/static/webviews-0/%2e%2e/session.py",
            "/static/nothing-0/play.js",
            "/static/webviews-0/no.js",
        ):
            assert (await web.get(missing)).status_code == 404
    with pytest.raises(KeyError):
        page_files.url("webviews", "no.js")


@pytest.fixture
def page_files() -> Assets:
    """The pages' own files."""
    return Assets({"webviews": "webviews"})


@given(secret=st.binary(max_size=200))
def test_a_sealed_value_opens_with_its_own_key_only(secret: bytes) -> None:
    """It comes back whole under its key, and not at all under another."""
    sealed = Sealer(b"a" * 32, SystemEntropy()).seal(secret)
    assert Sealer(b"a" * 32, SystemEntropy()).find_secret(sealed) == secret
    assert Sealer(b"b" * 32, SystemEntropy()).find_secret(sealed) is None


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({"origin": "https://play.example"}, True),
        ({"origin": "http://10.0.0.5:8000", "host": "10.0.0.5:8000"}, True),
        ({"sec-fetch-site": "same-origin"}, True),
        ({"origin": "https://evil.example", "host": "10.0.0.5:8000"}, False),
        ({"origin": "https://play.example.evil.example"}, False),
        ({"origin": "null", "sec-fetch-site": "same-origin"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"referer": "https://play.example/"}, False),
        ({}, False),
    ],
)
def test_a_request_from_another_site_is_refused(headers: dict[str, str], *, allowed: bool) -> None:
    """Only our own pages may change something in a person's name."""
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    request = Request({"type": "http", "method": "POST", "path": "/", "headers": raw})
    if allowed:
        require_same_origin(request, "https://play.example/")
    else:
        with pytest.raises(Forbidden):
            require_same_origin(request, "https://play.example/")


def test_pages_allow_no_inline_script_or_style_and_choose_their_frames() -> None:
    """Players' pages may be framed by the chat platforms only, staff pages by nobody."""
    for policy in (PLAYER_PAGE["Content-Security-Policy"], STAFF_PAGE["Content-Security-Policy"]):
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
    assert "frame-ancestors 'self' https://www.facebook.com" in PLAYER_PAGE["Content-Security-Policy"]
    assert STAFF_PAGE["Content-Security-Policy"].endswith("frame-ancestors 'none'")
    assert PLAYER_PAGE["Referrer-Policy"] == "no-referrer"


@dataclass(frozen=True)
class Incomplete:
    """Lacks what the template needs."""

    language: str = "en"


def test_a_template_without_its_context_is_an_error() -> None:
    """Nothing is rendered with a hole in it."""
    with pytest.raises(UndefinedError):
        Pages("webviews").render("message.html", Incomplete(), headers=PLAYER_PAGE)
