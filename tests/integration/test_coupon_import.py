"""Importing codes on both databases: all of what is good, dense, or nothing at all."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from gamekit.campaigns.schemas import parse_document
from gamekit.config import load_settings
from gamekit.coupons import service
from gamekit.coupons.codes import Rejected
from gamekit.coupons.repository import Pools
from gamekit.coupons.service import Step
from gamekit.errors import CampaignNotFound, Conflict, PrizeNotFound
from gamekit.main import Records, open_records
from tests.api import SLUG, campaign

SECRET = "s" * 32
TWO_PRIZES: list[dict[str, Any]] = [
    {"key": "latte", "kind": "coupon", "weight": 1, "codes": "pool", "name": {"en": "Latte"}},
    {"key": "tea", "kind": "coupon", "weight": 1, "codes": "pool", "stock": 3, "name": {"en": "Tea"}},
    {"key": "thanks", "kind": "nothing", "fallback": True, "weight": 1, "name": {"en": "Thank you"}},
]


@pytest.fixture
async def records(sql_url: str, tmp_path: Path) -> AsyncIterator[Records]:
    """A published campaign with two pools."""
    opened = open_records(load_settings(secret_key=SECRET, database_url=sql_url, data_dir=tmp_path))
    await opened.campaigns.apply(parse_document(campaign(prizes=TWO_PRIZES)))
    await opened.campaigns.publish(SLUG)
    yield opened
    await opened.sql.dispose()


async def pool(records: Records) -> list[tuple[str, int, str]]:
    async with records.sql.connect() as connection:
        rows = await connection.execute(text("SELECT prize, unit, code FROM coupons ORDER BY prize, unit"))
        return [(prize, unit, code) for prize, unit, code in rows]


async def epoch(records: Records) -> int:
    async with records.sql.connect() as connection:
        return int(await connection.scalar(text("SELECT epoch FROM runs WHERE kind = 'live'")) or 0)


async def stock(records: Records) -> dict[str, int | None]:
    return {standing.prize.key: standing.stock for standing in (await records.campaigns.get(SLUG)).prizes}


def lines(*codes: str) -> BytesIO:
    return BytesIO("\n".join(codes).encode())


async def test_codes_are_numbered_densely_and_raise_the_stock(records: Records) -> None:
    """Each import goes on where the last one ended; a pool bounds its prize's stock, and a new epoch begins."""
    before = await epoch(records)
    assert await stock(records) == {"latte": 0, "tea": 0, "thanks": None}
    report = await records.coupons.import_codes(SLUG, "latte", lines("B", "A", "B", "a b", "C"))
    assert (report.added, report.duplicates, report.duplicate_lines) == (3, 1, (3,))
    assert report.rejected == (Rejected(4, "has a space inside"),)
    assert await epoch(records) == before + 1
    await records.coupons.import_codes(SLUG, "tea", lines("T1", "T2", "T3", "T4"))
    report = await records.coupons.import_codes(SLUG, "latte", lines("T1", "D", "A", "D"))
    assert (report.added, report.duplicates, report.duplicate_lines) == (1, 3, (1, 3, 4))
    latte, tea = ["B", "A", "C", "D"], ["T1", "T2", "T3", "T4"]
    assert await pool(records) == [
        *(("latte", unit, code) for unit, code in enumerate(latte, 1)),
        *(("tea", unit, code) for unit, code in enumerate(tea, 1)),
    ]
    assert await stock(records) == {"latte": 4, "tea": 3, "thanks": None}
    async with records.sql.connect() as connection:
        campaign_id = int(await connection.scalar(text("SELECT id FROM campaigns")) or 0)
        assert await Pools().pool_sizes(connection, campaign_id) == {"latte": 4, "tea": 4}
        assert await Pools().pool_sizes(connection, campaign_id + 1) == {}


async def test_an_import_that_adds_nothing_changes_nothing(records: Records) -> None:
    """No new epoch for the gate to learn, and nothing left on the connection."""
    await records.coupons.import_codes(SLUG, "latte", lines("A"))
    before = await epoch(records)
    for content in (b"", b"\n\n", b"code\n", b"A\nA\n"):
        report = await records.coupons.import_codes(SLUG, "latte", BytesIO(content))
        assert report.added == 0
    assert await epoch(records) == before


async def test_what_has_no_pool_takes_no_codes(records: Records) -> None:
    """The campaign, the prize and the prize's kind are checked before a line is read."""
    for slug, prize, error in [
        ("nowhere", "latte", CampaignNotFound),
        (SLUG, "nothing", PrizeNotFound),
        (SLUG, "thanks", Conflict),
    ]:
        with pytest.raises(error):
            await records.coupons.import_codes(slug, prize, lines("A"))
    await records.campaigns.end(SLUG)
    with pytest.raises(Conflict):
        await records.coupons.import_codes(SLUG, "latte", lines("A"))
    assert await pool(records) == []


async def test_imports_at_once_leave_no_gap(records: Records) -> None:
    """Ten at a time, with codes in common: every code is in once, and each pool is dense."""
    files = [lines(*(f"C{number % 300}" for number in range(start, start + 200))) for start in range(0, 1000, 100)]
    prizes = ["latte", "tea"] * 5
    reports = await asyncio.gather(
        *(records.coupons.import_codes(SLUG, prize, file) for prize, file in zip(prizes, files, strict=True))
    )
    held = await pool(records)
    assert sum(report.added for report in reports) == len(held) == 300
    assert len({code for _, _, code in held}) == 300
    for prize in ("latte", "tea"):
        units = [unit for one, unit, _ in held if one == prize]
        assert units == list(range(1, len(units) + 1))


async def test_progress_and_long_lists_are_bounded(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    """Progress comes in steps up to the whole; a report names the first lines and counts all."""
    monkeypatch.setattr(service, "READ_AT_A_TIME", 700)
    monkeypatch.setattr(service, "SAVE_AT_A_TIME", 900)
    told: list[tuple[Step, int]] = []
    content = lines(*(f"C{number}" for number in range(2000)), *(["C1"] * 1500), *(["x y"] * 1500))
    report = await records.coupons.import_codes(SLUG, "latte", content, progress=lambda *step: told.append(step))
    assert (report.added, report.duplicates, report.rejected_total) == (2000, 1500, 1500)
    assert report.duplicate_lines == tuple(range(2001, 3001))
    assert [one.line for one in report.rejected] == list(range(3501, 4501))
    assert [done for step, done in told if step is Step.SAVE] == [900, 1800, 2000]
    assert [done for step, done in told if step is Step.READ] == [700, 1400, 2100, 2800, 3500, 4200, 4900, 5000]


async def test_an_import_that_fails_leaves_nothing(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when it fails at the last moment; and the same connection can import afterwards."""
    monkeypatch.setattr(service, "SAVE_AT_A_TIME", 10)

    def breaks(step: Step, done: int) -> None:
        if step is Step.SAVE and done >= 50:
            raise KeyboardInterrupt

    before = await epoch(records)
    content = lines(*(f"C{number}" for number in range(100)))
    with pytest.raises(KeyboardInterrupt):
        await records.coupons.import_codes(SLUG, "latte", content, progress=breaks)
    assert (await pool(records), await epoch(records)) == ([], before)
    content.seek(0)
    assert (await records.coupons.import_codes(SLUG, "latte", content)).added == 100


async def test_a_process_killed_in_the_middle_leaves_nothing(records: Records, sql_url: str, tmp_path: Path) -> None:
    """`kill -9` after part of the rows are in the transaction: no row is in the pool, and a new import goes through."""
    file = tmp_path / "codes.txt"
    file.write_text("\n".join(f"K{number}" for number in range(30_000)))
    program = (
        "import asyncio, sys, time\n"
        "from gamekit.config import load_settings\n"
        "from gamekit.coupons import service\n"
        "from gamekit.main import open_records\n"
        "service.SAVE_AT_A_TIME = 5_000\n"
        "def step(step, done):\n"
        "    if step is service.Step.SAVE and done >= 10_000:\n"
        "        print('half', flush=True)\n"
        "        time.sleep(60)\n"
        "records = open_records(load_settings(secret_key='s' * 32, database_url=sys.argv[1], data_dir=sys.argv[2]))\n"
        "with open(sys.argv[3], 'rb') as file:\n"
        f"    asyncio.run(records.coupons.import_codes({SLUG!r}, 'latte', file, progress=step))\n"
    )
    arguments = [sys.executable, "-c", program, sql_url, str(tmp_path), str(file)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as importer:
        assert importer.stdout is not None
        assert importer.stdout.readline() == b"half\n"
        os.kill(importer.pid, signal.SIGKILL)
    # PostgreSQL notices a client's death by itself, in a moment.
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        assert await pool(records) == []
        with file.open("rb") as codes:
            report = await records.coupons.import_codes(SLUG, "latte", codes)
        if report.added:
            break
    assert (report.added, len(await pool(records))) == (30_000, 30_000)
