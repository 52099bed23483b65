"""API v1 over the whole app: what each address gives, and how it says no."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from starlette.routing import Router

from gamekit.api.dispatch import PREFIX
from gamekit.api.keys import Keys, Scope
from gamekit.api.routes import OPERATIONS, api_app
from gamekit.api.services import ApiServices
from gamekit.clock import SystemClock
from gamekit.entropy import SystemEntropy
from gamekit.http.front import Front
from gamekit.storage.sql import open_database
from tests.api import PLAYER, SLUG, Client, Stand, campaign, stand

CSV = {"Content-Type": "text/csv"}
JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def api(sqlite_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Stand]:
    """The app over SQLite, with nothing in it."""
    async with stand(sqlite_url, redis_url, tmp_path) as running:
        yield running


def problem(response: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document, once it is sure that it is this one."""
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json"), (
        response.text
    )
    found: dict[str, Any] = response.json()
    assert (found["code"], found["status"]) == (code, status)
    return found


def fields(response: httpx2.Response) -> dict[str, str]:
    """What a 422 says, by field."""
    return {one["field"]: one["message"] for one in problem(response, 422, "invalid_input")["errors"]}


async def test_from_a_campaign_to_a_coupon(sql_url: str, redis_url: str, tmp_path: Path) -> None:
    """On both databases: save, import codes, publish, draw, repeat, read it back, export."""
    async with stand(sql_url, redis_url, tmp_path) as running:
        client = running.client
        await client.save(campaign(), publish=False)
        codes = await client.ask("POST", f"campaigns/{SLUG}/prizes/latte/codes", content=b"A1\nB2\n", headers=CSV)
        assert codes.json()["added"] == 2
        assert (await client.ask("POST", f"campaigns/{SLUG}/publish")).json()["state"] == "live"

        first = await client.draw("order-1", count=2)
        assert first.status_code == 201
        assert "idempotent-replayed" not in first.headers
        drawn = first.json()
        assert [draw["coupon"]["code"] for draw in drawn["draws"]] == ["A1", "B2"]
        assert drawn["chances_left"] == 3

        again = await client.draw("order-1", count=2)
        assert (again.status_code, again.headers["idempotent-replayed"]) == (200, "true")
        assert again.json() == drawn

        sold_out = (await client.draw("order-2")).json()["draws"][0]
        assert (sold_out["outcome"], sold_out["reason"], sold_out["coupon"]) == ("lose", "sold_out", None)

        one = drawn["draws"][0]
        assert (await client.ask("GET", f"draws/{one['id']}")).json() == one

        export = await client.ask("GET", f"campaigns/{SLUG}/export.jsonl")
        header, *lines = [json.loads(line) for line in export.text.splitlines()]
        assert (header["campaign"], header["seed"]) == (SLUG, None)
        assert [line["id"] for line in lines] == [draw["id"] for draw in [*drawn["draws"], sold_out]]

        odds = (await client.ask("GET", f"campaigns/{SLUG}/odds")).json()
        assert [(prize["key"], prize["probability"], prize["left"]) for prize in odds["prizes"]] == [
            ("latte", 1.0, 0),
            ("thanks", 0.0, None),
        ]


async def test_an_idempotency_key_belongs_to_one_body_and_one_client(api: Stand) -> None:
    """Another body under the key is refused; another client's same key is another request; spelling is no difference."""
    await api.client.save(campaign(chances={}))
    first = await api.client.draw("k")
    problem(await api.client.draw("k", count=2), 422, "idempotency_key_reused")
    problem(await api.client.draw("k", player={**PLAYER, "id": "2"}), 422, "idempotency_key_reused")
    spelled = f'{{ "run":"live","count" : 1,\n"player":{json.dumps(dict(reversed(PLAYER.items())))} }}'
    path, headers = (
        f"campaigns/{SLUG}/draws",
        {"Idempotency-Key": "k", "Content-Type": "application/json; charset=utf-8"},
    )
    again = await api.client.ask("POST", path, content=spelled.encode(), headers=headers)
    assert (again.status_code, again.json()["draws"]) == (200, first.json()["draws"])
    other = await (await api.another(Scope.DRAW)).draw("k")
    assert other.status_code == 201
    assert other.json()["draws"][0]["id"] != first.json()["draws"][0]["id"]


async def test_the_test_run_is_another_life(api: Stand) -> None:
    """It draws before the campaign is published, gives TEST codes, and is wiped by one call."""
    await api.client.save(campaign(), publish=False)
    problem(await api.client.draw(), 409, "campaign_not_started")
    tested = await api.client.draw("k", run="test")
    assert tested.json()["draws"][0]["coupon"]["code"].startswith("TEST-")
    assert (await api.client.ask("DELETE", f"campaigns/{SLUG}/runs/test")).status_code == 204
    assert (await api.client.ask("GET", f"campaigns/{SLUG}/draws?run=test")).json()["draws"] == []
    assert (await api.client.draw("k", run="test")).status_code == 201


async def test_refusals_say_which(api: Stand) -> None:
    """No chances, paused, ended and unknown each have their code, and change nothing."""
    await api.client.save(campaign(chances={"per_day": 1}))
    await api.client.draw("k")
    refused = problem(await api.client.draw(), 409, "no_chances_left")
    assert "T" in refused["next_chance_at"]
    assert (await api.client.ask("POST", f"campaigns/{SLUG}/pause")).json()["state"] == "paused"
    problem(await api.client.draw(player={**PLAYER, "id": "2"}), 409, "campaign_paused")
    assert (await api.client.draw("k")).status_code == 200
    assert (await api.client.ask("POST", f"campaigns/{SLUG}/resume")).json()["state"] == "live"
    ended = (await api.client.ask("POST", f"campaigns/{SLUG}/end")).json()
    assert (ended["state"], len(ended["seed"])) == ("ended", 64)
    problem(await api.client.draw(), 409, "campaign_ended")
    problem(await api.client.ask("POST", f"campaigns/{SLUG}/resume"), 409, "conflict")
    problem(await api.client.draw(slug="nowhere"), 404, "campaign_not_found")


@pytest.mark.parametrize(
    ("headers", "body", "field"),
    [
        ({"Idempotency-Key": ""}, {}, "Idempotency-Key"),
        ({"Idempotency-Key": "x" * 201}, {}, "Idempotency-Key"),
        ({"Idempotency-Key": b"\xe6\x8a\xbd"}, {}, "Idempotency-Key"),
        ({"Idempotency-Key": b"a\tb"}, {}, "Idempotency-Key"),
        ({}, {"count": 11}, "count"),
        ({}, {"count": -1}, "count"),
        ({}, {"count": "many"}, "count"),
        ({}, {"run": "prod"}, "run"),
        ({}, {"player": {"channel": "messenger", "id": "x" * 10_000}}, None),
        ({}, {"player": {"channel": "messenger", "id": "x" * 1000}}, "player.id"),
        ({}, {"player": {"channel": "MESSENGER", "id": "1"}}, "player.channel"),
        ({}, {"prize": "latte"}, "prize"),
    ],
)
async def test_a_wrong_draw_request_draws_nothing(
    api: Stand, headers: dict[str, Any], body: dict[str, Any], field: str | None
) -> None:
    """The field is named with what would be right, or the body is too large; no chance is used."""
    await api.client.save(campaign())
    response = await api.client.draw("k", headers=headers, **body)
    if field is None:
        problem(response, 413, "body_too_large")
    else:
        assert field in fields(response)
    assert (await api.client.draw()).json()["chances_left"] == 4


async def test_the_idempotency_key_is_required(api: Stand) -> None:
    """Without one a repeat could not be told from a new request."""
    response = await api.client.ask("POST", f"campaigns/{SLUG}/draws", json={"player": PLAYER})
    assert "is missing" in fields(response)["Idempotency-Key"]


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (b"{}", {"Content-Type": "text/plain"}, 415, "unsupported_media_type"),
        (b"{}", {}, 415, "unsupported_media_type"),
        (b"\xff\xfe{}", JSON, 400, "malformed_request"),
        (b'{"run": "live", "run": "test", "player": {"channel": "m", "id": "1"}}', JSON, 400, "malformed_request"),
        (b"", JSON, 400, "malformed_request"),
        (b" " * 5000, JSON, 413, "body_too_large"),
    ],
)  # fmt: skip
async def test_a_body_that_cannot_be_read(
    api: Stand, content: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    """Each way of not being JSON has its own answer in the one shape."""
    headers = {"Idempotency-Key": "k", **headers}
    response = await api.client.ask("POST", f"campaigns/{SLUG}/draws", content=content, headers=headers)
    problem(response, status, code)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.id)
async def test_every_operation_asks_for_a_key_with_its_scope(api: Stand, operation: Any) -> None:
    """Without a key 401, with a wrong one 401, without the scope 403; each before anything else is looked at."""
    path = operation.path.format(slug=SLUG, key="latte", draw="a-1-1-b", channel="m", id="1", tag="t")
    for headers in ({}, {"Authorization": "Bearer gk_wrong"}, {"Authorization": f"Basic {api.client.secret}"}):
        response = await api.client.web.request(operation.method, PREFIX + path, headers=headers)
        problem(response, 401, "unauthorized")
        assert response.headers["www-authenticate"].startswith("Bearer")
    others = await api.another(*(scope for scope in Scope if scope != operation.scope))
    assert operation.scope.value in problem(await others.ask(operation.method, path), 403, "forbidden")["detail"]


async def test_a_revoked_key_draws_nothing_more(api: Stand) -> None:
    """It is refused from the next request on in the process that revoked it."""
    await api.client.save(campaign())
    client = await api.another(Scope.DRAW)
    assert (await client.draw()).status_code == 201
    made = await api.gamekit.records.keys.list()
    await api.gamekit.records.keys.revoke(made[-1].id)
    problem(await client.draw(), 401, "unauthorized")


async def test_a_key_has_so_many_requests_a_minute(api: Stand) -> None:
    """Beyond them 429 with the seconds to wait, for this key alone."""
    await api.client.save(campaign(chances={}))
    client = await api.another(Scope.DRAW, rate_per_minute=3)
    answers = [await client.draw() for _ in range(8)]
    if {answer.status_code for answer in answers[:3]} == {201} and answers[3].status_code == 201:
        pytest.fail("more than the limit went through, or the test ran over a minute's end")
    limited = answers[-1]
    problem(limited, 429, "rate_limited")
    assert 1 <= int(limited.headers["retry-after"]) <= 60
    assert (await api.client.draw()).status_code == 201


async def test_addresses_and_methods_that_are_not_there(api: Stand) -> None:
    """The one shape, also beside the API; 405 names what is allowed; a slash at the end is another address."""
    for path in ("/api/v1/", "/api/v1/nothing", "/api/v1/campaigns/", "/api/v1/campaigns//odds", "/api/v2", "/nothing"):
        problem(await api.client.web.get(path), 404, "not_found")
    response = await api.client.ask("PATCH", f"campaigns/{SLUG}/draws")
    problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "GET, HEAD, POST"
    problem(await api.client.ask("GET", "campaigns/%00"), 404, "campaign_not_found")
    problem(await api.client.ask("GET", "campaigns/" + "x" * 10_000), 404, "campaign_not_found")
    problem(await api.client.ask("GET", "campaigns/%ff"), 404, "not_found")
    await api.client.save(campaign())
    assert (await api.client.ask("HEAD", f"campaigns/{SLUG}")).status_code == 200


async def test_a_campaign_is_saved_shown_and_compared(api: Stand) -> None:
    """A dry run changes nothing; a change of a published campaign makes a new odds version and is told field by field."""
    path = f"campaigns/{SLUG}"
    dry = await api.client.ask("PUT", f"{path}?dry_run=1", json=campaign())
    assert (dry.status_code, dry.json()["created"], dry.json()["dry_run"]) == (200, True, True)
    problem(await api.client.ask("GET", path), 404, "campaign_not_found")
    assert (await api.client.ask("PUT", path, json=campaign())).status_code == 201
    await api.client.ask("POST", f"{path}/publish")
    changed = campaign()
    changed["prizes"][1]["weight"] = 9000
    told = {"field": "prizes.thanks.weight", "before": 0, "after": 9000}
    dry = await api.client.ask("PUT", f"{path}?dry_run=true", json=changed)
    assert (dry.json()["version"], dry.json()["changes"]) == (1, [told])
    saved = await api.client.ask("PUT", path, json=changed)
    assert (saved.status_code, saved.json()["version"], saved.json()["changes"]) == (200, 2, [told])
    shown = (await api.client.ask("GET", path)).json()
    assert shown["document"]["prizes"][1]["weight"] == 9000
    assert [one["slug"] for one in (await api.client.ask("GET", "campaigns")).json()["campaigns"]] == [SLUG]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"slug": "another"}, "slug"),
        ({"gmae": "wheel"}, "gmae"),
        ({"game": "nothing"}, "game"),
        ({"name": {"en": "a\u0000b"}}, "name.en"),
        ({"prizes": []}, "prizes"),
        ({"prizes": [{"key": "a", "kind": "nothing", "weight": 1, "name": {"en": "A"}}]}, "prizes"),
        ({"prizes": [{"key": "a", "kind": "nothing", "fallback": True, "weight": -1, "name": {"en": "A"}}]}, "prizes[0].weight"),
        ({"prizes": [{"key": "a", "kind": "nothing", "fallback": True, "weight": 0, "name": {"en": "A"}}]}, "prizes"),
    ],
)  # fmt: skip
async def test_a_campaign_that_cannot_be_is_not_saved(api: Stand, change: dict[str, Any], field: str) -> None:
    """Each fault is named, and nothing is half saved."""
    response = await api.client.ask("PUT", f"campaigns/{SLUG}", json=campaign(**change))
    assert any(found.startswith(field) for found in fields(response)), response.text
    problem(await api.client.ask("GET", f"campaigns/{SLUG}"), 404, "campaign_not_found")


async def test_draws_are_listed_page_by_page(api: Stand) -> None:
    """Each once, oldest first; the last page's cursor finds what came later."""
    await api.client.save(campaign(chances={}))
    made = [(await api.client.draw()).json()["draws"][0]["id"] for _ in range(5)]
    listed, after = [], ""
    for _ in range(6):
        page = (await api.client.ask("GET", f"campaigns/{SLUG}/draws?limit=2{after}")).json()
        listed += [draw["id"] for draw in page["draws"]]
        if not page["next"]:
            break
        after = f"&after={page['next']}"
    assert listed == made
    for query, field in [
        ("limit=0", "query.limit"),
        ("limit=x", "query.limit"),
        ("run=x", "query.run"),
        ("x=1", "query.x"),
    ]:
        assert field in fields(await api.client.ask("GET", f"campaigns/{SLUG}/draws?{query}"))
    assert "query.limit" in fields(await api.client.ask("GET", f"campaigns/{SLUG}/draws?limit=1&limit=2"))
    fields(await api.client.ask("GET", f"campaigns/{SLUG}/draws?after=nonsense"))
    problem(await api.client.ask("GET", "draws/nonsense"), 404, "draw_not_found")
    problem(await api.client.ask("GET", "campaigns/nowhere/draws"), 404, "campaign_not_found")
    problem(await api.client.ask("GET", "campaigns/nowhere/export.jsonl"), 404, "campaign_not_found")


async def test_grants_give_chances_once_per_reason(api: Stand) -> None:
    """They are drawn after the allowance, also right after a refusal; a reason given twice counts once."""
    await api.client.save(campaign(chances={"total": 1}))
    await api.client.draw()
    problem(await api.client.draw(), 409, "no_chances_left")
    path, grant = f"campaigns/{SLUG}/grants", {"player": PLAYER, "chances": 2, "reason_key": "order-7"}
    given = await api.client.ask("POST", path, json=grant)
    assert (given.status_code, given.json()) == (201, {"chances": 2, "added": True})
    given = await api.client.ask("POST", path, json=grant)
    assert (given.status_code, given.json()) == (200, {"chances": 2, "added": False})
    problem(await api.client.ask("POST", path, json={**grant, "chances": 3}), 422, "idempotency_key_reused")
    assert [(await api.client.draw()).status_code for _ in range(3)] == [201, 201, 409]
    assert "chances" in fields(await api.client.ask("POST", path, json={**grant, "chances": 0}))
    problem(await api.client.ask("POST", "campaigns/nowhere/grants", json=grant), 404, "campaign_not_found")


async def test_a_play_link_is_for_one_player_and_a_day(api: Stand) -> None:
    """It leads to the campaign and does not tell the player's id."""
    await api.client.save(campaign())
    made = (await api.client.ask("POST", f"campaigns/{SLUG}/links", json={"player": PLAYER})).json()
    assert f"/play/{SLUG}?t=" in made["url"]
    assert PLAYER["id"] not in made["url"]
    problem(await api.client.ask("POST", "campaigns/nowhere/links", json={"player": PLAYER}), 404, "campaign_not_found")


async def test_codes_are_imported_and_the_rest_is_told(api: Stand) -> None:
    """Duplicates and lines that are no codes are named by line; a wrong address or type imports nothing."""
    await api.client.save(campaign())
    path = f"campaigns/{SLUG}/prizes/latte/codes"
    report = await api.client.ask("POST", path, content=b"code\r\nA1\r\nB 2\r\nA1\r\n", headers=CSV)
    assert report.json() == {
        "added": 1,
        "duplicates": 1,
        "duplicate_lines": [4],
        "rejected": [{"line": 3, "why": "has a space inside"}],
        "rejected_total": 1,
    }
    problem(await api.client.ask("POST", path, json=["A2"]), 415, "unsupported_media_type")
    other = path.replace("latte", "nothing")
    problem(await api.client.ask("POST", other, content=b"A2", headers=CSV), 404, "prize_not_found")
    other = path.replace("latte", "thanks")
    problem(await api.client.ask("POST", other, content=b"A2", headers=CSV), 409, "conflict")
    other = path.replace(SLUG, "nowhere")
    problem(await api.client.ask("POST", other, content=b"A2", headers=CSV), 404, "campaign_not_found")


@pytest.mark.parametrize("player", ["1423587017700273", "team/alice", "小明 ☕", "50%", "a..b"])
async def test_a_player_is_looked_up_and_tagged(api: Stand, player: str) -> None:
    """Also under an id that needs percent-encoding; tags come and go, each once."""
    path = f"players/messenger/{quote(player, safe='')}"
    problem(await api.client.ask("GET", path), 404, "player_not_found")
    problem(await api.client.ask("DELETE", f"{path}/tags/vip"), 404, "player_not_found")
    for _ in range(2):
        tagged = (await api.client.ask("PUT", f"{path}/tags/vip")).json()
        assert (tagged["channel"], tagged["id"], tagged["tags"]) == ("messenger", player, ["vip"])
    assert (await api.client.ask("GET", path)).json() == tagged
    for _ in range(2):
        assert (await api.client.ask("DELETE", f"{path}/tags/vip")).json()["tags"] == []
    assert "path.channel" in fields(await api.client.ask("GET", "players/MESSENGER/1"))
    assert "path.tag" in fields(await api.client.ask("PUT", f"{path}/tags/{'x' * 65}"))


async def test_fifty_callers_with_one_key_draw_once(api: Stand) -> None:
    """All get the same draws; one of them 201."""
    await api.client.save(campaign())
    answers = await asyncio.gather(*(api.client.draw("one") for _ in range(50)))
    assert sorted(answer.status_code for answer in answers) == [200] * 49 + [201]
    assert len({json.dumps(answer.json()["draws"]) for answer in answers}) == 1


async def test_without_its_database_the_api_says_come_again() -> None:
    """A key cannot be checked then, so nothing is let in: 503 with Retry-After."""
    nowhere = open_database("postgresql+asyncpg://nobody@127.0.0.1:1/nothing")
    keys = Keys(nowhere, SystemClock(), SystemEntropy())
    services: Any = ApiServices(keys, None, None, None, None, None, None)  # type: ignore[arg-type]
    front = Front(Router(), SystemEntropy(), first={PREFIX: api_app(services)})
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=front), base_url="http://test") as web:
        response = await Client(web, "gk_any").ask("GET", "campaigns")
    problem(response, 503, "unavailable")
    assert response.headers["retry-after"]
