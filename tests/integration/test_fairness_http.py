"""Fairness as a program sees it that only knows the HTTP API."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from scipy.stats import power_divergence

from gamekit.draws.verify import verify
from tests.api import SLUG, campaign, stand

WEIGHTS = {"p0": 1, "p1": 2, "p2": 4, "p3": 8, "rest": 16}
REQUESTS = 400
PER_REQUEST = 10
SURE = 1e-9
"""The seed is a new one at every run; a table of which this would be the chance is not the one that was drawn from."""


async def test_draws_over_http_follow_the_odds(sql_url: str, redis_url: str, tmp_path: Path) -> None:
    """4,000 draws by 400 players pass a G-test against the published weights, and the ended ledger proves each."""
    prizes = [
        {
            "key": key,
            "kind": "nothing" if key == "rest" else "points",
            "weight": weight,
            "name": {"en": key},
            **({"fallback": True} if key == "rest" else {}),
        }
        for key, weight in WEIGHTS.items()
    ]
    async with stand(sql_url, redis_url, tmp_path) as app:
        client = app.client
        await client.save(campaign(chances={}, prizes=prizes))

        async def draw(number: int) -> list[str]:
            answer = await client.draw(player={"channel": "messenger", "id": f"p{number}"}, count=PER_REQUEST)
            assert answer.status_code == 201, answer.text
            return [one["prize"]["key"] for one in answer.json()["draws"]]

        drawn = Counter(key for keys in await asyncio.gather(*map(draw, range(REQUESTS))) for key in keys)
        total, draws = sum(WEIGHTS.values()), REQUESTS * PER_REQUEST
        expected = [draws * weight / total for weight in WEIGHTS.values()]
        found = power_divergence([drawn[key] for key in WEIGHTS], expected, lambda_="log-likelihood")
        assert found.pvalue > SURE, drawn

        assert (await client.ask("POST", f"campaigns/{SLUG}/end")).is_success
        ledger = await client.ask("GET", f"campaigns/{SLUG}/export.jsonl")
        report = verify(ledger.content.splitlines())
        assert (report.draws, report.picks_checked) == (draws, draws + report.voids)
