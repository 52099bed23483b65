"""The wheel keeps the contract of a game: in Python for every layout, and painted by a real browser for every prize."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import Any

import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import Browser, Page
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from gamekit.http.i18n import load_catalogues
from gamekit.http.security import PLAYER_PAGE
from gamekit.plugin import Outcome, reveal_seed
from games.wheel import game
from games.wheel.wheel import FULL, LEAST, Options, Wedges, percent
from tests.browser.chromium import POINTED_AT, chromium, complaints
from webviews.routes import page_assets
from webviews.theme import theme_css


@dataclass(frozen=True)
class Prize:
    key: str
    weight: int
    kind: str = "gift"

    @property
    def name(self) -> dict[str, str]:
        return {"zh-Hant": f"獎品 {self.key}", "en": f"Prize number {self.key}"}


@dataclass(frozen=True)
class Campaign:
    prizes: tuple[Prize, ...]
    name: dict[str, str]


def campaign(*weights: int) -> Campaign:
    prizes = [Prize(f"p{index}", weight) for index, weight in enumerate(weights[:-1])]
    return Campaign((*prizes, Prize("thanks", weights[-1], "nothing")), {"en": "Wheel"})


def reveal(asked: Campaign, index: int, draw: str, options: Options) -> dict[str, Any]:
    prize = asked.prizes[index]
    outcome = Outcome(prize=prize.key, kind=prize.kind, is_win=prize.kind != "nothing", index=index)
    return dict(game.present(outcome, game.layout(asked, options), options, reveal_seed(draw)))


WEIGHTS = st.lists(st.integers(0, 10**9), min_size=2, max_size=24).filter(any)
OPTIONS = st.builds(Options, wedges=st.sampled_from(Wedges), show_odds=st.booleans(), turns=st.integers(2, 8))


@given(weights=WEIGHTS, options=OPTIONS)
def test_wedges_close_the_circle(weights: list[int], options: Options) -> None:
    """The wedges follow each other without a gap, make a full turn, and none is too narrow to be shown."""
    wedges: Any = game.layout(campaign(*weights), options)["wedges"]
    assert [wedge["key"] for wedge in wedges] == [prize.key for prize in campaign(*weights).prizes]
    end = 0
    for wedge in wedges:
        assert wedge["start"] == end
        assert wedge["sweep"] >= LEAST
        end += wedge["sweep"]
    assert end == FULL


@given(weights=WEIGHTS, options=OPTIONS, draw=st.text(max_size=20), data=st.data())
def test_a_reveal_lies_inside_its_wedge_and_follows_from_the_draw(
    weights: list[int], options: Options, draw: str, data: st.DataObject
) -> None:
    """Every prize can be shown, at a place inside its own wedge, the same at every asking; the result is JSON."""
    asked = campaign(*weights)
    index = data.draw(st.integers(0, len(weights) - 1))
    shown = reveal(asked, index, draw, options)
    assert shown == reveal(asked, index, draw, options)
    assert json.loads(json.dumps(shown)) == shown
    wedge: Any = game.layout(asked, options)["wedges"]
    assert wedge[index]["start"] < shown["angle"] < wedge[index]["start"] + wedge[index]["sweep"]


def test_the_place_is_uniform_and_no_near_miss_is_staged() -> None:
    """Over many draws every tenth of a losing wedge is hit alike: a G-test at p = 10^-6 (9 degrees of freedom: 44.9)."""
    asked, options = campaign(1, 1, 1, 1), Options()
    places = Counter(
        (reveal(asked, 3, f"draw {number}", options)["angle"] - 270_000) * 10 // 90_000 for number in range(20_000)
    )
    # 1/32 of the wedge is kept clear at either side, so the outermost tenths are 0.06875 wide instead of 0.1.
    expected = [20_000 * width / 0.9375 for width in (0.06875, *[0.1] * 8, 0.06875)]
    statistic = sum((places[tenth] - mean) ** 2 / mean for tenth, mean in enumerate(expected))
    assert statistic < 44.9


@pytest.mark.parametrize(
    ("weight", "total", "text"),
    [
        (0, 5, "0%"),
        (5, 5, "100%"),
        (500, 10_000, "5%"),
        (1, 8, "12.5%"),
        (1, 3, "33.3%"),
        (1, 400, "0.25%"),
        (1, 10**6, "<0.01%"),
        (10**6 - 1, 10**6, ">99.9%"),
        (9995, 10**6, "1.00%"),
    ],
)
def test_odds_are_printed_short_and_never_falsely_certain(weight: int, total: int, text: str) -> None:
    """Whole percents stay whole; what is rare or almost sure is not rounded to never or always."""
    assert percent(weight, total) == text


# --- in the browser ---------------------------------------------------------------------------------------------------

PLAYED = """async ([index, script, late]) => {
  const stage = document.getElementById("stage"), data = JSON.parse(stage.dataset.face);
  const { mount } = await import(script);
  const game = mount(stage, { ...data, motion: stage.dataset.motion, sound: null });
  const began = game.begin();
  if (late) await new Promise((resolve) => setTimeout(resolve, late));
  const settled = game.settle(data.reveals[index]);
  await game.skip();
  await settled;
  await began;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium."""
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A page with nothing but the stage, served with the player pages' own policy."""
    assets = page_assets({"wheel": game})
    fragment = files("games.wheel").joinpath("templates/play.html").read_text("utf-8")
    texts = load_catalogues("games.wheel")["en"]

    async def page(request: Request) -> Response:
        asked = campaign(*json.loads(request.query_params["weights"]))
        options = Options.model_validate(json.loads(request.query_params.get("options", "{}")))
        face = {
            "layout": game.layout(asked, options),
            "options": options.model_dump(mode="json"),
            "text": dict(texts),
            "reveals": [*(reveal(asked, index, f"d{index}", options) for index in range(len(asked.prizes))), None],
        }
        style = f'<link rel="stylesheet" href="{assets.url("play-wheel", "play.css")}"><link rel="stylesheet" href="/t.css">'
        motion = request.query_params.get("motion", "full")
        stage = f'<div class="stage" id="stage" data-motion="{motion}" data-face="{escape(json.dumps(face))}">{fragment}</div>'
        html = f'<!doctype html><html lang="en"><head>{style}</head><body><div class="page">{stage}</div></body></html>'
        return HTMLResponse(html, headers=dict(PLAYER_PAGE))

    async def theme(_: Request) -> Response:
        return Response(theme_css(None, None), media_type="text/css")

    app = Starlette(routes=[Route("/", page), Route("/t.css", theme), assets.route()])
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        thread.join(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}/?script={assets.url('wheel', 'game.js')}&"
    server.should_exit = True
    thread.join()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A phone's page that complains of nothing."""
    context = browser.new_context(viewport={"width": 390, "height": 500})
    opened = context.new_page()
    found = complaints(opened)
    yield opened
    context.close()
    assert found == []


def play(page: Page, index: int, *, late: int = 0) -> None:
    script = page.url.split("script=")[1].split("&")[0]
    page.evaluate(PLAYED, [index, script, late])


@pytest.mark.parametrize("motion", ["full", "reduced"])
@pytest.mark.parametrize(
    ("weights", "options"),
    [
        ([1, 1], "{}"),
        ([1, 2, 3, 4, 5, 6, 7, 8], "{}"),
        ([0, 1, 5, 900, 3], '{"wedges": "odds"}'),
        (list(range(1, 25)), '{"show_odds": false}'),
    ],
)
def test_what_is_shown_is_what_was_awarded(
    page: Page, address: str, weights: list[int], options: str, motion: str
) -> None:
    """For every prize, the wedge painted under the pointer is the awarded one, and it alone is marked."""
    page.goto(f"{address}weights={json.dumps(weights)}&options={options}&motion={motion}")
    for index, prize in enumerate(campaign(*weights).prizes):
        play(page, index)
        assert page.evaluate(POINTED_AT) == prize.key
        marked = page.eval_on_selector_all(".is-landed", "found => found.map((one) => one.dataset.prize)")
        assert marked == [prize.key]


def test_it_moves_before_the_answer_and_lands_after_a_late_one(page: Page, address: str) -> None:
    """The disc turns from the first moment, keeps turning for five seconds, and then lands where it is told to."""
    page.goto(f"{address}weights=[1,2,3,4]")
    script = page.url.split("script=")[1].split("&")[0]
    turned = page.evaluate(
        """async (script) => {
          const stage = document.getElementById("stage"), disc = stage.querySelector(".wheel__disc");
          const { mount } = await import(script);
          globalThis.game = mount(stage, { ...JSON.parse(stage.dataset.face), motion: "full" });
          game.begin();
          await new Promise((resolve) => setTimeout(resolve, 100));
          return getComputedStyle(disc).transform;
        }""",
        script,
    )
    assert turned != "none"
    page.wait_for_timeout(5_000)
    before = page.evaluate("getComputedStyle(document.querySelector('.wheel__disc')).transform")
    page.wait_for_timeout(70)
    assert page.evaluate("getComputedStyle(document.querySelector('.wheel__disc')).transform") != before
    page.evaluate("game.settle(JSON.parse(document.getElementById('stage').dataset.face).reveals[2])")
    assert page.evaluate(POINTED_AT) == "p2"


def test_not_knowing_is_no_loss(page: Page, address: str) -> None:
    """Without an answer the wheel rests with the pointer lifted and no wedge marked; the answer can still follow."""
    page.goto(f"{address}weights=[1,2,3]")
    play(page, 3)
    assert page.locator(".is-landed").count() == 0
    assert page.locator(".wheel").get_attribute("data-state") == "unknown"
    play(page, 1)
    page.wait_for_timeout(300)  # the pointer comes down again
    assert page.evaluate(POINTED_AT) == "p1"


def test_turning_the_phone_changes_nothing(page: Page, address: str) -> None:
    """After a rotation to a low, wide screen the same wedge is under the pointer."""
    page.goto(f"{address}weights=[1,2,3,4,5]")
    play(page, 4)
    page.set_viewport_size({"width": 640, "height": 320})
    assert page.evaluate(POINTED_AT) == "thanks"


def test_a_reader_of_the_screen_hears_every_wedge(page: Page, address: str) -> None:
    """The picture's name lists all prizes with their odds."""
    page.goto(f"{address}weights=[1,3]")
    play(page, 0)
    assert (
        page.get_by_role("img").get_attribute("aria-label")
        == "A wheel with 2 wedges: Prize number p0 25%, Prize number thanks 75%"
    )
