"""The player's routes."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.routing import BaseRoute, Route

from gamekit.http.assets import Assets
from gamekit.plugin import Game
from webviews.face import Faces
from webviews.page import PageRoutes
from webviews.play import PlayRoutes
from webviews.services import WebviewServices
from webviews.session import Sessions


def page_assets(games: Mapping[str, Game]) -> Assets:
    """The static files of the player's pages and of every game."""
    assets = Assets({"webviews": "webviews", **{key: game.manifest.package for key, game in games.items()}})
    for key in games:
        assets.join(f"play-{key}", "play.css", ("webviews", "play.css"), (key, "game.css"))
    return assets


def routes(services: WebviewServices) -> list[BaseRoute]:
    """Everything under /play, /theme and /static."""
    sessions = Sessions(services.session_key, services.clock, services.entropy, services.public_url)
    faces = Faces(services.games)
    page, play = PageRoutes(services, sessions, faces), PlayRoutes(services, sessions, faces)
    return [
        Route("/play/{slug}", page.page, methods=["GET"]),
        Route("/play/{slug}/session", play.session, methods=["POST"]),
        Route("/play/{slug}/state", play.state, methods=["GET"]),
        Route("/play/{slug}/draws", play.draw, methods=["POST"]),
        services.assets.route(),
        Route("/theme/{slug}/{version}.css", page.theme, methods=["GET"]),
    ]
