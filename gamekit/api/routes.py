"""The table of API v1: every address with its scope, what it takes, what it gives and how it can refuse."""

from __future__ import annotations

from starlette.routing import BaseRoute

from gamekit.api import endpoints as do
from gamekit.api import schemas as of
from gamekit.api.dispatch import Dispatcher, Operation
from gamekit.api.docs import docs_routes
from gamekit.api.keys import Scope
from gamekit.api.services import ApiServices
from gamekit.campaigns.schemas import CampaignDocument

CSV = "text/csv"
JSON_LINES = "application/jsonl"

_BODY = ("malformed_request", "request_timeout", "body_too_large", "unsupported_media_type")
_CAMPAIGN = ("campaign_not_found",)
_CHANGE = ("campaign_not_found", "conflict")

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        id="draw",
        method="POST",
        path="campaigns/{slug}/draws",
        summary="Draw",
        description="Decides 1 to 10 draws for a player, all or none. Repeating a request with its Idempotency-Key "
        "gives the same draws again, with 200 and `Idempotent-Replayed: true`, for ever. After 503 nothing was used "
        "up: repeat it with the same key.",
        scope=Scope.DRAW,
        quiet=True,
        handler=do.draw,
        query=of.NoQuery,
        headers=("Idempotency-Key",),
        body=of.DrawRequest,
        answers={201: of.DrawsOut, 200: of.DrawsOut},
        problems=(
            *_BODY,
            *_CAMPAIGN,
            "not_eligible",
            "no_chances_left",
            "campaign_not_started",
            "campaign_paused",
            "campaign_ended",
            "idempotency_key_reused",
        ),
    ),
    Operation(
        id="list_draws",
        method="GET",
        path="campaigns/{slug}/draws",
        summary="List draws",
        description="Committed draws of a run, oldest first. `next` stays good for ever: ask again with it for what came later.",
        scope=Scope.READ,
        handler=do.list_draws,
        query=of.DrawsQuery,
        answers={200: of.DrawPage},
        problems=_CAMPAIGN,
    ),
    Operation(
        id="get_draw",
        method="GET",
        path="draws/{draw}",
        summary="Get a draw",
        scope=Scope.READ,
        handler=do.get_draw,
        query=of.NoQuery,
        answers={200: of.DrawOut},
        problems=("draw_not_found",),
    ),
    Operation(
        id="list_campaigns",
        method="GET",
        path="campaigns",
        summary="List campaigns",
        scope=Scope.READ,
        handler=do.list_campaigns,
        query=of.NoQuery,
        answers={200: of.CampaignList},
    ),
    Operation(
        id="get_campaign",
        method="GET",
        path="campaigns/{slug}",
        summary="Get a campaign",
        scope=Scope.READ,
        handler=do.get_campaign,
        query=of.NoQuery,
        answers={200: of.CampaignDetail},
        problems=_CAMPAIGN,
    ),
    Operation(
        id="put_campaign",
        method="PUT",
        path="campaigns/{slug}",
        summary="Save a campaign",
        description="Takes the whole campaign as a file, as JSON. A published campaign gets a new odds version at once. With "
        "`dry_run` nothing is saved, and the answer tells what would change.",
        scope=Scope.MANAGE,
        handler=do.put_campaign,
        query=of.PutCampaignQuery,
        body=CampaignDocument,
        answers={200: of.AppliedOut, 201: of.AppliedOut},
        problems=(*_BODY, *_CHANGE),
    ),
    Operation(
        id="get_odds",
        method="GET",
        path="campaigns/{slug}/odds",
        summary="Get the odds",
        scope=Scope.READ,
        handler=do.get_odds,
        query=of.NoQuery,
        answers={200: of.OddsOut},
        problems=_CAMPAIGN,
    ),
    Operation(
        id="publish_campaign",
        method="POST",
        path="campaigns/{slug}/publish",
        summary="Publish a campaign",
        scope=Scope.MANAGE,
        handler=do.publish_campaign,
        query=of.NoQuery,
        answers={200: of.CampaignOut},
        problems=_CHANGE,
    ),
    Operation(
        id="pause_campaign",
        method="POST",
        path="campaigns/{slug}/pause",
        summary="Pause a campaign",
        description="No draw of the live run commits after the answer, until it is resumed.",
        scope=Scope.MANAGE,
        handler=do.pause_campaign,
        query=of.NoQuery,
        answers={200: of.CampaignOut},
        problems=_CHANGE,
    ),
    Operation(
        id="resume_campaign",
        method="POST",
        path="campaigns/{slug}/resume",
        summary="Resume a campaign",
        scope=Scope.MANAGE,
        handler=do.resume_campaign,
        query=of.NoQuery,
        answers={200: of.CampaignOut},
        problems=_CHANGE,
    ),
    Operation(
        id="end_campaign",
        method="POST",
        path="campaigns/{slug}/end",
        summary="End a campaign",
        description="For good: from then on the seed is public.",
        scope=Scope.MANAGE,
        handler=do.end_campaign,
        query=of.NoQuery,
        answers={200: of.CampaignOut},
        problems=_CHANGE,
    ),
    Operation(
        id="wipe_test_run",
        method="DELETE",
        path="campaigns/{slug}/runs/test",
        summary="Wipe the test run",
        scope=Scope.MANAGE,
        handler=do.wipe_test_run,
        query=of.NoQuery,
        answers={204: None},
        problems=_CHANGE,
    ),
    Operation(
        id="export_run",
        method="GET",
        path="campaigns/{slug}/export.jsonl",
        summary="Export the ledger",
        description="What `gamekit verify` reads: a header line, then a line for each draw, voids too.",
        scope=Scope.READ,
        handler=do.export_run,
        query=of.RunQuery,
        answers={200: JSON_LINES},
        problems=_CAMPAIGN,
    ),
    Operation(
        id="make_link",
        method="POST",
        path="campaigns/{slug}/links",
        summary="Make a play link",
        description="A signed address that opens the campaign's game for this player, for a day.",
        scope=Scope.DRAW,
        handler=do.make_link,
        query=of.NoQuery,
        body=of.LinkRequest,
        answers={200: of.LinkOut},
        problems=(*_BODY, *_CAMPAIGN),
    ),
    Operation(
        id="grant_chances",
        method="POST",
        path="campaigns/{slug}/grants",
        summary="Grant chances",
        description="Once per `reason_key`, player and run: a repeat answers 200 with `added` false, and gives nothing.",
        scope=Scope.MANAGE,
        handler=do.grant_chances,
        query=of.NoQuery,
        body=of.GrantRequest,
        answers={201: of.GrantOut, 200: of.GrantOut},
        problems=(*_BODY, *_CHANGE, "idempotency_key_reused"),
    ),
    Operation(
        id="import_codes",
        method="POST",
        path="campaigns/{slug}/prizes/{key}/codes",
        summary="Import coupon codes",
        description="One code a line, UTF-8. A header, quotes and blank lines are fine. Lines that are no codes, or "
        "stand in a pool already, are told; all others are added in one transaction.",
        scope=Scope.MANAGE,
        handler=do.import_codes,
        query=of.NoQuery,
        body=CSV,
        answers={200: of.ImportOut},
        problems=(*_BODY, *_CHANGE, "prize_not_found"),
    ),
    Operation(
        id="get_player",
        method="GET",
        path="players/{channel}/{id}",
        summary="Get a player",
        scope=Scope.READ,
        handler=do.get_player,
        query=of.NoQuery,
        answers={200: of.PlayerOut},
        problems=("player_not_found",),
    ),
    Operation(
        id="put_tag",
        method="PUT",
        path="players/{channel}/{id}/tags/{tag}",
        summary="Tag a player",
        description="The player need not be known yet.",
        scope=Scope.MANAGE,
        handler=do.put_tag,
        query=of.NoQuery,
        answers={200: of.PlayerOut},
    ),
    Operation(
        id="delete_tag",
        method="DELETE",
        path="players/{channel}/{id}/tags/{tag}",
        summary="Take a tag off a player",
        scope=Scope.MANAGE,
        handler=do.delete_tag,
        query=of.NoQuery,
        answers={200: of.PlayerOut},
        problems=("player_not_found",),
    ),
)


def api_app(services: ApiServices) -> Dispatcher:
    """The app of every address that begins with `PREFIX` and a slash."""
    return Dispatcher(OPERATIONS, services)


def api_pages() -> list[BaseRoute]:
    """The OpenAPI document and the docs page."""
    return docs_routes(OPERATIONS)
