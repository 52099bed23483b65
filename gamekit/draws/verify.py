"""Checks an exported ledger, offline: numbers, limits, stock, releases and reasons; with the seed, every pick.

Pure. It shares the rules of picks, releases and days with the engine, and none of its code for deciding.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import orjson

from gamekit.campaigns.document import Chances, Limits, Release
from gamekit.campaigns.release import local_day, released
from gamekit.draws.reservations import NAMELESS, Reason
from gamekit.ids import Stamp, parse_draw_id
from gamekit.odds.fairness import odds_hash
from gamekit.odds.pick import pick
from gamekit.odds.table import OddsTable

CLOCK_SKEW = timedelta(seconds=2)
"""How far the clocks of two servers may differ around a boundary of day or release."""


class LedgerFault(Exception):
    """A line of the ledger that does not hold."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line


@dataclass(slots=True)
class Report:
    """What was checked. `unprovable` draws lost a prize to a reservation that a change of epoch dropped without a trace."""

    draws: int = 0
    voids: int = 0
    picks_checked: int = 0
    unprovable: int = 0
    versions: int = 0
    seed_known: bool = False


@dataclass(frozen=True, slots=True)
class _Rule:
    weight: int
    fallback: bool
    per_player: int | None
    release: Release


@dataclass(frozen=True, slots=True)
class _Version:
    number: int
    epoch: int
    table: OddsTable
    rules: dict[str, _Rule]
    fallback: str
    chances: Chances
    limits: Limits
    timezone: str
    starts_at: datetime
    ends_at: datetime | None


@dataclass(slots=True)
class _Player:
    """What a player has used so far; `held` counts wins with those that were voided later."""

    used: int = 0
    granted: int = 0
    day: int = 0
    wins: Counter[str] = field(default_factory=Counter)
    held: Counter[str] = field(default_factory=Counter)


def verify(lines: Iterable[bytes]) -> Report:
    """Checks a ledger. Raises `LedgerFault` for the first line that does not hold."""
    numbered = enumerate(lines, 1)
    number, head = next(numbered, (1, b""))
    checker = _Checker(_read(number, head))
    for number, line in numbered:
        if line.strip():
            checker.check(number, _read(number, line))
    return checker.report


def _read(number: int, line: bytes) -> dict[str, Any]:
    try:
        data = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise LedgerFault(number, f"is not JSON ({error})") from error
    if not isinstance(data, dict):
        raise LedgerFault(number, "must be a JSON object")
    return data


class _Checker:
    def __init__(self, header: dict[str, Any]) -> None:
        self.report = Report()
        try:
            self._run: str = header["run"]
            self._live = header.get("kind", "live") == "live"
            self._seed = bytes.fromhex(header["seed"]) if header["seed"] else None
            self._versions = {item["version"]: self._version(item) for item in header["versions"]}
            self._stock = defaultdict(list)
            for level in header.get("stock", []):
                self._stock[level["prize"]].append((level["epoch"], level["stock"]))
            self._grants: dict[str, int] = header.get("grants", {})
        except (KeyError, TypeError, ValueError) as error:
            raise LedgerFault(1, f"is not a ledger's header ({error!r})") from error
        self.report.versions = len(self._versions)
        self.report.seed_known = self._seed is not None
        self._stamp = (0, 0)
        self._gaps: Counter[int] = Counter()
        self._players: defaultdict[str, _Player] = defaultdict(_Player)
        self._requests: dict[tuple[str, str], int] = {}
        self._chances: set[tuple[str, int]] = set()
        self._days: set[tuple[str, int, int]] = set()
        self._units: set[tuple[str, int]] = set()
        self._taken: Counter[str] = Counter()
        self._taken_void: Counter[str] = Counter()

    def _version(self, item: dict[str, Any]) -> _Version:
        rules = {
            prize["key"]: _Rule(
                prize["weight"],
                prize.get("fallback", False),
                prize.get("per_player"),
                Release.model_validate(prize.get("release", {"kind": "all"})),
            )
            for prize in item["prizes"]
        }
        table = OddsTable(tuple(rules), tuple(rule.weight for rule in rules.values()))
        if item.get("odds_hash", odds_hash(table)) != odds_hash(table):
            raise LedgerFault(
                1, f"version {item['version']}: odds_hash is not the hash of its prizes' keys and weights"
            )
        if self._seed is not None and sha256(self._seed).hexdigest() != item["commitment"]:
            raise LedgerFault(1, f"version {item['version']}: the seed is not the one committed to")
        ends_at = item.get("ends_at")
        return _Version(
            number=item["version"],
            epoch=item.get("epoch", 0),
            table=table,
            rules=rules,
            fallback=next(key for key, rule in rules.items() if rule.fallback),
            chances=Chances.model_validate(item.get("chances", {})),
            limits=Limits.model_validate(item.get("limits", {})),
            timezone=item.get("timezone", "UTC"),
            starts_at=datetime.fromisoformat(item["starts_at"]),
            ends_at=datetime.fromisoformat(ends_at) if ends_at else None,
        )

    def check(self, line: int, row: dict[str, Any]) -> None:
        try:
            fault = self._check(row)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise LedgerFault(line, f"is not a draw ({error!r})") from error
        if fault:
            raise LedgerFault(line, fault)

    def _check(self, row: dict[str, Any]) -> str | None:
        version = self._versions.get(row["odds_version"])
        if version is None:
            return f"odds_version {row['odds_version']} is not in the header"
        created = datetime.fromisoformat(row["created_at"])
        return (
            self._check_place(row, version) or self._check_pick(row, version) or self._check_rest(row, version, created)
        )

    def _check_rest(self, row: dict[str, Any], version: _Version, created: datetime) -> str | None:
        if not isinstance(row["void"], bool):
            return "void must be true or false"
        if row["void"]:
            self._note_void(row, version)
            return None
        return self._check_draw(row, version, created)

    def _check_place(self, row: dict[str, Any], version: _Version) -> str | None:
        stamp = (row["epoch"], row["seq"])
        if stamp <= self._stamp:
            return f"(epoch, seq) {stamp} does not come after {self._stamp}"
        expected = self._stamp[1] + 1 if stamp[0] == self._stamp[0] else 1
        self._gaps[stamp[0]] += stamp[1] - expected
        self._stamp = stamp
        parsed = parse_draw_id(row["id"])
        if parsed is None or parsed[0] != Stamp(self._run, *stamp):
            return "id does not name this run, epoch and seq"
        newest = max((item.number for item in self._versions.values() if item.epoch <= stamp[0]), default=None)
        if newest != version.number:
            return f"odds_version {version.number} was not in force in epoch {stamp[0]}; version {newest} was"
        return None

    def _check_pick(self, row: dict[str, Any], version: _Version) -> str | None:
        if row["picked"] not in version.rules or row["prize"] not in version.rules:
            return "picked and prize must be prizes of the odds version"
        if self._seed is None or (row["void"] is True and row["key"] == NAMELESS):
            return None
        proven = pick(
            self._seed,
            version.table,
            run=self._run,
            version=version.number,
            player=row["player"],
            source=row["source"],
            key=row["key"],
            index=row["index"],
        )
        self.report.picks_checked += 1
        if proven != row["picked"]:
            return f"picked {row['picked']!r}, but the seed picks {proven!r}"
        return None

    def _note_void(self, row: dict[str, Any], version: _Version) -> None:
        self.report.voids += 1
        if row["unit"] is not None:
            self._taken_void[row["prize"]] += 1
        if row["prize"] != version.fallback:
            self._players[row["player"]].held[row["prize"]] += 1

    def _check_draw(self, row: dict[str, Any], version: _Version, created: datetime) -> str | None:
        self.report.draws += 1
        player = self._players[row["player"]]
        fault = (
            self._check_request(row)
            or self._check_time(version, created)
            or self._check_chance(row, version, created, player)
            or self._check_award(row, version, created, player)
        )
        if fault is None and row["prize"] != version.fallback:
            player.wins[row["prize"]] += 1
            player.held[row["prize"]] += 1
        return fault

    def _check_request(self, row: dict[str, Any]) -> str | None:
        request = (row["source"], row["key"])
        if row["index"] != self._requests.get(request, 0):
            return f"index {row['index']} of this (source, key) is out of turn or a second outcome"
        self._requests[request] = row["index"] + 1
        return None

    def _check_time(self, version: _Version, created: datetime) -> str | None:
        if not self._live:
            return None
        if created < version.starts_at - CLOCK_SKEW:
            return "created_at lies before the opening"
        if version.ends_at is not None and created >= version.ends_at + CLOCK_SKEW:
            return "created_at lies after the end"
        return None

    def _check_chance(self, row: dict[str, Any], version: _Version, created: datetime, player: _Player) -> str | None:
        chance = (row["player"], row["chance"])
        if row["chance"] < 1:
            return f"chance {row['chance']} is not a chance's number"
        if chance in self._chances:
            return f"chance {row['chance']} of this player is used twice"
        self._chances.add(chance)
        chances, granted = version.chances, self._grants.get(row["player"], 0)
        player.used += 1
        if (row.get("granted") or chances.per_day is None) and (row["day"], row["day_number"]) != (None, None):
            return "day and day_number belong to a chance of a day's allowance, which this is not"
        if row.get("granted"):
            player.granted += 1
            if player.granted > granted:
                return f"the player was granted {granted} chances and used more"
            return None
        if chances.total is not None and player.used - player.granted > chances.total:
            return f"the player has {chances.total} chances and used more"
        if chances.per_day is None:
            return None
        day, number = row["day"], row["day_number"]
        days = {
            local_day(created + skew, version.timezone, chances.day_starts)
            for skew in (timedelta(0), CLOCK_SKEW, -CLOCK_SKEW)
        }
        # A clock that was set back does not give a day back: the player's later day goes on.
        if day not in days and not (day == player.day and day > max(days)):
            return f"day {day} is not the local day of created_at"
        if number is None or not 1 <= number <= chances.per_day:
            return f"day_number {number} is not from 1 to {chances.per_day}"
        if (row["player"], day, number) in self._days:
            return f"number {number} of the player's day {day} is used twice"
        self._days.add((row["player"], day, number))
        player.day = max(player.day, day)
        return None

    def _check_award(self, row: dict[str, Any], version: _Version, created: datetime, player: _Player) -> str | None:
        reason, prize, unit = row["reason"], row["prize"], row["unit"]
        if reason is None:
            if prize != row["picked"]:
                return "prize is not the picked one, and no reason says why"
            return self._check_unit(row, version, created) or self._check_caps(version, prize, player)
        if prize != version.fallback or unit is not None:
            return f"a draw that is {reason} must get the fallback, without a unit"
        return self._check_reason(row, version, created, player)

    def _check_unit(self, row: dict[str, Any], version: _Version, created: datetime) -> str | None:
        prize, unit = row["prize"], row["unit"]
        stock = self._stock_at(prize, row["epoch"])
        if stock is None:
            return None if unit is None else "a prize without stock has no units"
        if unit is None or unit < 1:
            return f"unit {unit} is not a unit number"
        if (prize, unit) in self._units:
            return f"unit {unit} of {prize!r} is issued twice"
        if unit > stock:
            return f"unit {unit} of {prize!r} is above the stock of {stock}"
        if unit > self._released(version, prize, stock, created + CLOCK_SKEW):
            return f"unit {unit} of {prize!r} was not released by created_at"
        self._units.add((prize, unit))
        self._taken[prize] += 1
        return None

    def _check_caps(self, version: _Version, prize: str, player: _Player) -> str | None:
        if prize == version.fallback:
            return None
        cap, most = version.rules[prize].per_player, version.limits.wins_per_player
        if cap is not None and player.wins[prize] >= cap:
            return f"the player may win {prize!r} {cap} times and won it more often"
        if most is not None and player.wins.total() >= most:
            return f"the player may win {most} times and won more often"
        return None

    def _check_reason(self, row: dict[str, Any], version: _Version, created: datetime, player: _Player) -> str | None:
        picked = row["picked"]
        stock = self._stock_at(picked, row["epoch"])
        taken = self._taken[picked] + self._taken_void[picked]
        match row["reason"]:
            case Reason.SOLD_OUT:
                needed = stock
            case Reason.NOT_RELEASED:
                needed = None if stock is None else self._released(version, picked, stock, created - CLOCK_SKEW)
                if needed == stock and stock is not None:
                    return f"all {stock} of {picked!r} were released by created_at"
            case Reason.CAPPED:
                needed, taken = version.rules[picked].per_player, player.held[picked]
            case Reason.WIN_LIMIT:
                needed, taken = version.limits.wins_per_player, player.held.total()
            case other:
                return f"reason {other!r} is unknown"
        if needed is None:
            return f"{picked!r} cannot be {row['reason']}: nothing limits it"
        if taken >= needed:
            return None
        # A reservation that a change of epoch dropped leaves a gap in the numbers, and may have held what was missing.
        if taken + self._gaps[row["epoch"]] >= needed:
            self.report.unprovable += 1
            return None
        return f"{picked!r} was not {row['reason']}: {taken} of {needed} were taken"

    def _stock_at(self, prize: str, epoch: int) -> int | None:
        level: int | None = None
        for since, stock in self._stock[prize]:
            if since <= epoch:
                level = stock
        return level

    def _released(self, version: _Version, prize: str, stock: int, moment: datetime) -> int:
        if not self._live:
            moment = max(moment, version.starts_at)
        return released(
            version.rules[prize].release,
            stock=stock,
            starts_at=version.starts_at,
            ends_at=version.ends_at,
            timezone=version.timezone,
            day_starts=version.chances.day_starts,
            now=moment,
        )
