"""An exported ledger that was tampered with is caught, at the line that no longer holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from hashlib import sha256
from itertools import count
from typing import Any

import pytest

from gamekit.draws.verify import LedgerFault, Report, verify
from gamekit.odds.fairness import odds_hash
from gamekit.odds.pick import pick
from gamekit.odds.table import OddsTable

SEED = bytes(range(32))
RUN = "0123456789ab"
TABLE = OddsTable(("mug", "car", "pen", "bag", "thanks"), (30, 30, 30, 30, 30))
NOON = "2026-12-01T04:00:00+00:00"

Line = dict[str, Any]


def header(**changes: Any) -> Line:
    """Two mugs; a car that opens on the second day; one pen per player; bags without a stock; five chances, four wins."""
    rules: dict[str, Line] = {
        "car": {"release": {"kind": "moments", "moments": ["2026-12-02T00:00:00+08:00"]}},
        "pen": {"per_player": 1},
        "thanks": {"fallback": True},
    }
    prizes = [
        {"key": key, "weight": weight, **rules.get(key, {})}
        for key, weight in zip(TABLE.keys, TABLE.weights, strict=True)
    ]
    version = {
        "version": 1,
        "epoch": 2,
        "commitment": sha256(SEED).hexdigest(),
        "odds_hash": odds_hash(TABLE),
        "published_at": NOON,
        "starts_at": "2026-12-01T03:00:00+00:00",
        "ends_at": "2026-12-31T00:00:00+08:00",
        "timezone": "Asia/Taipei",
        "chances": {"total": 5, "per_day": 4},
        "limits": {"wins_per_player": 3},
        "prizes": prizes,
    }
    stock = [{"prize": "mug", "epoch": 2, "stock": 2}, {"prize": "car", "epoch": 2, "stock": 1}]
    return {
        "campaign": "spring",
        "kind": "live",
        "run": RUN,
        "epoch": 2,
        "seed": SEED.hex(),
        "versions": [version],
        "stock": stock,
        "grants": {"bob": 1},
        **changes,
    }


def picked_by(player: str, key: str, index: int = 0, source: str = "api:1") -> str:
    return pick(SEED, TABLE, run=RUN, version=1, player=player, source=source, key=key, index=index)


def key_for(player: str, prizes: tuple[str, ...], mark: int) -> str:
    """A key, with a mark of its own, under which this player's draws pick those prizes."""
    keys = (f"{mark}-{number}" for number in count())
    return next(key for key in keys if all(picked_by(player, key, at) == prize for at, prize in enumerate(prizes)))


def ledger() -> list[Line]:
    """A header and a line for each kind of draw there is: the lines after it are 2, 3 and so on."""
    lines: list[Line] = [header()]
    used: dict[str, int] = {}

    def add(
        player: str, picks: tuple[str, ...], got: tuple[tuple[str, int | None, str | None], ...], **changes: Any
    ) -> None:
        key = key_for(player, picks, len(lines))
        for index, (picked, (prize, unit, reason)) in enumerate(zip(picks, got, strict=True)):
            seq = len(lines)
            number = used[player] = used.get(player, 0) + 1
            lines.append(
                {
                    "id": f"{RUN}-2-{seq}-00112233445{index}",
                    "void": False,
                    "epoch": 2,
                    "seq": seq,
                    "source": "api:1",
                    "key": key,
                    "index": index,
                    "player": player,
                    "chance": number,
                    "granted": False,
                    "day": 20261201,
                    "day_number": number,
                    "odds_version": 1,
                    "picked": picked,
                    "prize": prize,
                    "unit": unit,
                    "reason": reason,
                    "created_at": NOON,
                    **changes,
                }
            )

    add("ann", ("mug", "thanks"), (("mug", 1, None), ("thanks", None, None)))  # lines 2 and 3
    add("eve", ("mug",), (("mug", 2, None),), void=True)  # line 4
    add("bob", ("mug",), (("mug", 2, None),))  # line 5
    add("bob", ("mug",), (("thanks", None, "sold_out"),))  # line 6
    add("bob", ("car",), (("thanks", None, "not_released"),))  # line 7
    add("bob", ("pen", "pen"), (("pen", None, None), ("thanks", None, "capped")))  # lines 8 and 9
    lines[-1] |= {"granted": True, "day": None, "day_number": None}
    add("cat", ("bag",) * 3, (("bag", None, None),) * 3)  # lines 10 to 12
    add("cat", ("bag",), (("thanks", None, "win_limit"),))  # line 13
    return lines


def check(lines: list[Line]) -> Report:
    return verify(json.dumps(line).encode() for line in lines)


def fault(lines: list[Line]) -> tuple[int, str]:
    with pytest.raises(LedgerFault) as caught:
        check(lines)
    return caught.value.line, str(caught.value)


def test_the_untouched_ledger_holds() -> None:
    """Every kind of draw is in it, and all of them are proven."""
    lines = ledger()
    report = check(lines)
    assert (report.draws, report.voids, report.picks_checked, report.unprovable) == (11, 1, 12, 0)
    assert {line["reason"] for line in lines[1:]} == {None, "sold_out", "not_released", "capped", "win_limit"}
    lines[0]["seed"] = None
    report = check(lines)
    assert (report.seed_known, report.picks_checked) == (False, 0)


def otherwise(line: Line, **fields: str) -> bool:
    """Whether the draw under these names picks something else."""
    name = {field: line[field] for field in ("player", "key", "source")} | fields
    return bool(picked_by(index=line["index"], **name) != line["picked"])


TAMPERED: dict[str, Callable[[Line], Any]] = {
    "id": lambda line: line["id"].replace(RUN, "ba9876543210"),
    "epoch": lambda line: line["epoch"] + 1,
    "seq": lambda line: line["seq"] + 1,
    "source": lambda line: next(s for n in count(2) if otherwise(line, source=(s := f"api:{n}"))),
    "key": lambda line: next(k for n in count() if otherwise(line, key=(k := f"key-{n}"))),
    "index": lambda line: line["index"] + 1,
    "player": lambda line: next(p for n in count() if otherwise(line, player=(p := f"player-{n}"))),
    "odds_version": lambda line: 2,
    "picked": lambda line: next(key for key in TABLE.keys if key != line["picked"]),
}
"""What makes a line's proof another's, field by field."""

RIGHTS: dict[str, Callable[[Line], Any]] = {
    "chance": lambda line: line["chance"] - 1,
    "granted": lambda line: not line["granted"],
    "day": lambda line: 20261203,
    "day_number": lambda line: (line["day_number"] or 1) - 1,
    "prize": lambda line: next(key for key in ("mug", "thanks") if key != line["prize"]),
    "unit": lambda line: {None: 1, 1: 0, 2: 3}[line["unit"]],
    "reason": lambda line: "sold_out" if line["reason"] is None else None,
    "created_at": lambda line: "2027-01-01T04:00:00+00:00",
}
"""What makes a committed draw use a right that is not there."""


@pytest.mark.parametrize("field", [*TAMPERED, *RIGHTS])
def test_every_field_of_every_line_counts(field: str) -> None:
    """With the seed, changing it is caught at that very line, wherever it stands."""
    tamper = TAMPERED.get(field) or RIGHTS[field]
    untouched = ledger()
    for at in range(1, len(untouched)):
        if field in RIGHTS and untouched[at]["void"]:
            # A void uses nothing up.
            continue
        lines = deepcopy(untouched)
        lines[at][field] = tamper(lines[at])
        line, told = fault(lines)
        assert line == at + 1, (lines[at], told)


@pytest.mark.parametrize("field", [*RIGHTS, "id", "epoch", "seq", "index", "odds_version"])
def test_without_the_seed_numbers_and_rules_still_count(field: str) -> None:
    """Before the end only the picks themselves cannot be checked."""
    tamper = RIGHTS.get(field) or TAMPERED[field]
    untouched = ledger()
    untouched[0]["seed"] = None
    for at in range(1, len(untouched)):
        if untouched[at]["void"]:
            continue
        lines = deepcopy(untouched)
        lines[at][field] = tamper(lines[at])
        line, told = fault(lines)
        assert line == at + 1, (lines[at], told)


@pytest.mark.parametrize("field", sorted({*TAMPERED, *RIGHTS, "void"}))
def test_a_field_that_is_missing_is_named(field: str) -> None:
    """Leaving it out, or a value of another type, is no way around a check."""
    lines = ledger()
    del lines[1][field]
    if field == "granted":
        # Ledgers tell it only where a chance was granted.
        check(lines)
        return
    line, told = fault(lines)
    assert (line, field in told) == (2, True)
    lines = ledger()
    lines[1][field] = {"not": "a value"}
    assert fault(lines)[0] == 2


def test_every_reason_is_checked_against_the_others() -> None:
    """A draw that lost its prize for one reason did not lose it for another one."""
    untouched = ledger()
    for at, line in enumerate(untouched):
        for reason in ("sold_out", "not_released", "capped", "win_limit", "bad_luck"):
            if line.get("reason") not in (None, reason):
                lines = deepcopy(untouched)
                lines[at]["reason"] = reason
                assert fault(lines)[0] == at + 1, reason


def test_lines_that_are_added_swapped_or_repeated_are_caught() -> None:
    """The order is part of the ledger, and no right is used by two lines."""
    untouched = ledger()
    for at in range(1, len(untouched) - 1):
        swapped = [*untouched[:at], untouched[at + 1], untouched[at], *untouched[at + 2 :]]
        assert fault(swapped)[0] <= at + 2
        assert fault([*untouched[: at + 1], *untouched[at:]])[0] == at + 2
    last = untouched[-1]
    copied = {**last, "seq": last["seq"] + 1, "id": f"{RUN}-2-{last['seq'] + 1}-001122334455"}
    line, told = fault([*untouched, copied])
    assert (line, "index" in told) == (len(untouched) + 1, True)


def test_a_line_that_is_missing_is_not_called_wrong() -> None:
    """What no longer proves a "sold out" is counted as not provable: the line may have held the unit."""
    lines = ledger()
    del lines[4], lines[3]
    report = check(lines)
    assert (report.draws, report.voids, report.unprovable) == (10, 0, 1)


def test_a_sold_out_that_nothing_explains_is_wrong() -> None:
    """With nothing missing before it, a prize that has units left was not sold out."""
    lines = ledger()
    lines[0]["stock"][0]["stock"] = 4
    line, told = fault(lines)
    assert (line, "was not sold_out" in told) == (6, True)


@pytest.mark.parametrize(
    ("tamper", "told"),
    [
        (lambda head: head.update(seed=bytes(32).hex()), "seed"),
        (lambda head: head["versions"][0].update(commitment="0" * 64), "seed"),
        (lambda head: head["versions"][0].update(odds_hash="0" * 64), "odds_hash"),
        (lambda head: head["versions"][0]["prizes"][0].update(weight=31), "odds_hash"),
        (lambda head: head.pop("run"), "run"),
        (lambda head: head.update(seed="zz"), "header"),
        (lambda head: head["versions"][0].pop("prizes"), "prizes"),
        (lambda head: head["versions"][0]["prizes"].pop(), "odds_hash"),
    ],
)
def test_the_header_is_checked(tamper: Callable[[Line], object], told: str) -> None:
    """A seed that was not committed to, odds that are not the published ones, or no header at all: line 1."""
    lines = ledger()
    tamper(lines[0])
    line, said = fault(lines)
    assert (line, told in said) == (1, True), said


def test_what_is_no_ledger_is_told_in_a_sentence() -> None:
    """Anything may be handed in: it is named with its line and never crashes."""
    for content, line in (
        ([], 1),
        ([b""], 1),
        ([b"[]"], 1),
        ([b"{}"], 1),
        ([b"\xff\xfe"], 1),
        ([json.dumps(header()).encode(), b"{}"], 2),
        ([json.dumps(header()).encode(), b"", b"null"], 3),
        ([json.dumps(header()).encode(), b"{"], 2),
        ([json.dumps({**header(), "versions": {}}).encode(), json.dumps(ledger()[1]).encode()], 2),
        ([json.dumps({**header(), "versions": 5}).encode()], 1),
        ([json.dumps({**header(), "stock": [1]}).encode()], 1),
        ([json.dumps({**header(), "grants": []}).encode(), json.dumps(ledger()[1]).encode()], None),
    ):
        with pytest.raises(LedgerFault) as caught:
            verify(content)
        assert line in (None, caught.value.line)
