"""What each operation of API v1 does: parse, call one service, answer. Which address leads where is in `routes`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO, cast

from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp

from gamekit.api import schemas
from gamekit.api.calls import Call, JsonAnswer, answer, raw_answer
from gamekit.api.problems import REFUSALS
from gamekit.campaigns.schemas import parse_document
from gamekit.campaigns.service import CampaignSummary
from gamekit.draws.service import Refused
from gamekit.errors import DrawNotFound, InvalidInput, Problem
from gamekit.http.errors import problem
from gamekit.players.service import PlayerView

DRAW_LIMIT = 4 * 1024
CAMPAIGN_LIMIT = 1024 * 1024
CODES_LIMIT = 128 * 1024 * 1024
CODES_SECONDS = 600.0
SPOOL_BYTES = 4 * 1024 * 1024
LINK_LIFE = timedelta(hours=24)

_REPLAYED = ((b"idempotent-replayed", b"true"),)
_REFUSED_DETAILS = {code: kind.meaning.partition(";")[0].rstrip(".") + "." for code, kind in REFUSALS.items()}


async def draw(call: Call) -> ASGIApp:
    key = call.idempotency_key()
    request = await call.body(schemas.DrawRequest, limit=DRAW_LIMIT)
    player = request.player
    found = await call.services.draws.draw(
        call.path["slug"],
        request.run,
        channel=player.channel,
        external_id=player.id,
        source=call.key.source,
        key=key,
        count=request.count,
        body_hash=schemas.body_hash(player.channel, player.id, request.count),
    )
    if isinstance(found, Refused):
        return _refused(found)
    content = {"draws": found.draws, "chances_left": found.chances_left}
    return raw_answer(content, 200, _REPLAYED) if found.replayed else raw_answer(content, 201)


def _refused(refused: Refused) -> Response:
    extensions = {} if refused.next_chance_at is None else {"next_chance_at": refused.next_chance_at.isoformat()}
    kind = REFUSALS[refused.code]
    return problem(kind.status, kind.code, _REFUSED_DETAILS[kind.code], extensions=extensions)


async def list_campaigns(call: Call) -> ASGIApp:
    found = await call.services.campaigns.list()
    return answer(schemas.CampaignList(campaigns=[schemas.CampaignOut(**_summary(one)) for one in found]))


async def get_campaign(call: Call) -> ASGIApp:
    found = await call.services.campaigns.get(call.path["slug"])
    return answer(schemas.CampaignDetail(**_summary(found), document=found.document.to_json()))


async def get_odds(call: Call) -> ASGIApp:
    found = await call.services.campaigns.get(call.path["slug"])
    total = found.document.table().total
    prizes = [
        schemas.PrizeOdds(
            **one,
            probability=one["weight"] / total,
            one_in=total / one["weight"] if one["weight"] else None,
            left=None if one["stock"] is None else max(0, one["stock"] - one["issued"]),
        )
        for one in _prizes(found)
    ]
    return answer(
        schemas.OddsOut(
            campaign=found.slug,
            state=found.phase,
            version=found.version,
            total_weight=total,
            prizes=prizes,
            commitment=found.commitment,
            odds_hash=found.odds_hash,
        )
    )


async def put_campaign(call: Call) -> ASGIApp:
    dry_run = call.query(schemas.PutCampaignQuery).dry_run
    content = await call.json_object(limit=CAMPAIGN_LIMIT)
    if content.setdefault("slug", call.path["slug"]) != call.path["slug"]:
        raise InvalidInput(problems=(Problem("slug", "must be the one in the address, or be left out"),))
    applied = await call.services.campaigns.apply(parse_document(content), dry_run=dry_run)
    changes = [schemas.ChangeOut(field=one.field, before=one.before, after=one.after) for one in applied.changes]
    result = schemas.AppliedOut(
        slug=applied.slug, dry_run=dry_run, created=applied.created, version=applied.version, changes=changes
    )
    return answer(result, 201 if applied.created and not dry_run else 200)


async def publish_campaign(call: Call) -> ASGIApp:
    return _campaign(await call.services.campaigns.publish(call.path["slug"]))


async def pause_campaign(call: Call) -> ASGIApp:
    return _campaign(await call.services.campaigns.pause(call.path["slug"]))


async def resume_campaign(call: Call) -> ASGIApp:
    return _campaign(await call.services.campaigns.resume(call.path["slug"]))


async def end_campaign(call: Call) -> ASGIApp:
    return _campaign(await call.services.campaigns.end(call.path["slug"]))


async def wipe_test_run(call: Call) -> ASGIApp:
    await call.services.campaigns.wipe_test(call.path["slug"])
    return Response(status_code=204)


async def list_draws(call: Call) -> ASGIApp:
    query = call.query(schemas.DrawsQuery)
    page = await call.services.draws.history(call.path["slug"], query.run, after=query.after, limit=query.limit)
    return raw_answer({"draws": page.draws, "next": page.next})


async def get_draw(call: Call) -> ASGIApp:
    found = await call.services.draws.find(call.path["draw"])
    if found is None:
        raise DrawNotFound
    return raw_answer(found)


async def export_run(call: Call) -> ASGIApp:
    slug, kind = call.path["slug"], call.query(schemas.RunQuery).run
    lines = aiter(call.services.draws.export(slug, kind))
    # The header line is made before the answer begins, so that an unknown campaign is still a 404.
    header = await anext(lines)

    async def whole() -> AsyncIterator[bytes]:
        yield header
        async for line in lines:
            yield line

    headers = {"content-disposition": f'attachment; filename="{slug}-{kind}.jsonl"', "cache-control": "no-store"}
    return StreamingResponse(whole(), headers=headers, media_type="application/jsonl")


async def make_link(call: Call) -> ASGIApp:
    request = await call.body(schemas.LinkRequest, limit=DRAW_LIMIT)
    campaign = await call.services.campaigns.get(call.path["slug"])
    url, expires_at = call.services.links.make(
        campaign.slug, request.run, channel=request.player.channel, external_id=request.player.id, ttl=LINK_LIFE
    )
    return answer(schemas.LinkOut(url=url, expires_at=expires_at))


async def grant_chances(call: Call) -> ASGIApp:
    request = await call.body(schemas.GrantRequest, limit=DRAW_LIMIT)
    granted = await call.services.players.grant(
        call.path["slug"],
        request.run,
        channel=request.player.channel,
        external_id=request.player.id,
        chances=request.chances,
        reason_key=request.reason_key,
    )
    return answer(schemas.GrantOut(chances=granted.chances, added=granted.added), 201 if granted.added else 200)


async def import_codes(call: Call) -> ASGIApp:
    pieces = call.stream("text/csv", "text/plain", limit=CODES_LIMIT, seconds=CODES_SECONDS)
    # The whole upload comes before the import, so that a slow sender keeps no transaction open.
    with SpooledTemporaryFile(max_size=SPOOL_BYTES) as file:
        async for piece in pieces:
            file.write(piece)
        file.seek(0)
        report = await call.services.coupons.import_codes(call.path["slug"], call.path["key"], cast("BinaryIO", file))
    result = schemas.ImportOut(
        added=report.added,
        duplicates=report.duplicates,
        duplicate_lines=list(report.duplicate_lines),
        rejected=[schemas.RejectedLine(line=one.line, why=one.why) for one in report.rejected],
        rejected_total=report.rejected_total,
    )
    return answer(result)


async def get_player(call: Call) -> ASGIApp:
    return _player(await call.services.players.get(*_player_named(call)))


async def put_tag(call: Call) -> ASGIApp:
    channel, external_id = _player_named(call)
    return _player(await call.services.players.tag(channel, external_id, call.path["tag"]))


async def delete_tag(call: Call) -> ASGIApp:
    channel, external_id = _player_named(call)
    return _player(await call.services.players.untag(channel, external_id, call.path["tag"]))


def _player_named(call: Call) -> tuple[str, str]:
    return call.path["channel"], call.path["id"]


def _player(found: PlayerView) -> JsonAnswer:
    return answer(
        schemas.PlayerOut(
            channel=found.channel,
            id=found.external_id,
            locale=found.locale,
            tags=list(found.tags),
            window_expires_at=found.window_expires_at,
            created_at=found.created_at,
        )
    )


def _campaign(found: CampaignSummary) -> JsonAnswer:
    return answer(schemas.CampaignOut(**_summary(found)))


def _summary(found: CampaignSummary) -> dict[str, Any]:
    document = found.document
    return {
        "slug": found.slug,
        "state": found.phase,
        "game": document.game,
        "name": document.name,
        "version": found.version,
        "starts_at": document.starts_at,
        "ends_at": document.ends_at,
        "commitment": found.commitment,
        "odds_hash": found.odds_hash,
        "seed": found.seed,
        "prizes": [schemas.PrizeOut(**one) for one in _prizes(found)],
        "created_at": found.created_at,
        "updated_at": found.updated_at,
    }


def _prizes(found: CampaignSummary) -> list[dict[str, Any]]:
    return [
        {
            "key": standing.prize.key,
            "name": standing.prize.name,
            "kind": standing.prize.kind.value,
            "fallback": standing.prize.fallback,
            "weight": standing.prize.weight,
            "stock": standing.stock,
            "issued": standing.issued,
        }
        for standing in found.prizes
    ]
