"""The admin pages' routes."""

from __future__ import annotations

from starlette.routing import BaseRoute, Route

from admin.campaigns import CampaignRoutes
from admin.frame import HOME, SIGN_IN, Desk
from admin.services import AdminServices
from admin.session import PATH
from admin.sign_in import SignInRoutes


def routes(services: AdminServices) -> list[BaseRoute]:
    """Everything under /admin. Static files are served by the route of `services.assets`, which is not among these."""
    desk = Desk(services)
    entry, campaigns = SignInRoutes(desk), CampaignRoutes(desk)
    return [
        Route(PATH, desk.page(campaigns.home), methods=["GET"]),
        Route(SIGN_IN, entry.page, methods=["GET"]),
        Route(SIGN_IN, entry.sign_in, methods=["POST"]),
        Route(f"{PATH}/sign-out", entry.sign_out, methods=["POST"]),
        Route(f"{PATH}/language/{{tag}}", entry.language, methods=["GET"]),
        Route(HOME, desk.page(campaigns.list), methods=["GET"]),
        Route(f"{HOME}/{{slug}}", desk.page(campaigns.campaign), methods=["GET"]),
        Route(f"{PATH}/{{rest:path}}", desk.page(campaigns.missing), methods=["GET"]),
    ]
