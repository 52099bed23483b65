"""Reading a campaign document from plain data (parsed TOML or JSON). Everything about it that is wrong is told at once.

Owns `parse_document`, the only way in; the shapes themselves are in `document`, the rules across them in `checks`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from gamekit.campaigns.checks import check
from gamekit.campaigns.document import (
    CampaignDocument,
    Chances,
    ExpiresAfter,
    Limits,
    Look,
    Money,
    Prize,
    PrizeKind,
    Release,
    ReleaseKind,
    SharedCode,
    Triggers,
    localized,
)
from gamekit.campaigns.sentences import path, problems_of, shorten
from gamekit.campaigns.times import read_moment, read_zone
from gamekit.errors import InvalidInput, Problem
from gamekit.odds.percent import parse_percent, share_out
from gamekit.odds.table import MAX_PRIZES

__all__ = [
    "CampaignDocument",
    "Chances",
    "ExpiresAfter",
    "Limits",
    "Look",
    "Money",
    "Prize",
    "PrizeKind",
    "Release",
    "ReleaseKind",
    "SharedCode",
    "Triggers",
    "localized",
    "parse_document",
]

MAX_DEPTH = 16
MAX_OPTIONS = 65_536
MAX_PROBLEMS = 100
MAX_EXACT = 2**53 - 1
"""The largest whole number that survives JSON everywhere."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def parse_document(data: object) -> CampaignDocument:
    """The campaign that `data` describes: tables are dicts, moments are datetimes or RFC 3339 text.

    Raises `InvalidInput` with one `Problem` for each fault, at most 100. Weights given as chances ("5%") become
    integers out of 100,000,000; moments without an offset are read in the campaign's zone.
    """
    if not isinstance(data, dict):
        raise InvalidInput("A campaign must be a table.", problems=(Problem("", "must be a table of keys and values"),))
    problems: list[Problem] = []
    document: dict[str, Any] = _plain(data, (), problems)
    hidden = {problem.field for problem in problems}
    prizes = document.get("prizes")
    if isinstance(prizes, list) and len(prizes) <= MAX_PRIZES:
        _weigh(prizes, problems, hidden)
    elif isinstance(prizes, list):
        # How many there are is told below; nothing else about prizes can be right.
        hidden.update(f"prizes[{index}].{name}" for index in range(MAX_PRIZES) for name in ("weight", "chance"))
    _place_in_time(document, problems, hidden)
    for name in [key for key in ("starts_at", "ends_at") if document.get(key) is None]:
        document.pop(name, None)
    options = document.get("options")
    if isinstance(options, dict) and not problems and len(json.dumps(options)) > MAX_OPTIONS:
        problems.append(Problem("options", f"must be at most {MAX_OPTIONS:,} characters of JSON"))
    parsed = None
    shape = document | ({"prizes": prizes[:MAX_PRIZES]} if isinstance(prizes, list) else {})
    try:
        parsed = CampaignDocument.model_validate(shape)
    except ValidationError as error:
        problems += [problem for problem in problems_of(error, CampaignDocument) if problem.field not in hidden]
    problems += [problem for problem in check(document) if problem.field not in hidden]
    if problems or parsed is None:
        raise _invalid(problems)
    return parsed


def _invalid(problems: list[Problem]) -> InvalidInput:
    count = len(problems)
    shown = problems[:MAX_PROBLEMS]
    if count > MAX_PROBLEMS:
        shown.append(Problem("", f"and {count - MAX_PROBLEMS} more problems; correct these first"))
    first = shown[0]
    sentence = f"{first.field} {first.message}".strip()
    return InvalidInput(f"{sentence} (and {count - 1} more)" if count > 1 else sentence, problems=tuple(shown))


def _plain(value: object, at: tuple[str | int, ...], problems: list[Problem]) -> Any:
    """A copy of `value` with every line end a newline, noting what no text, number or nesting of a document may be."""
    if len(at) > MAX_DEPTH:
        problems.append(Problem(path(at), f"is nested too deeply; at most {MAX_DEPTH} levels"))
    elif isinstance(value, str):
        text = value.replace("\r\n", "\n").replace("\r", "\n")
        problems.extend(_unfit(text, at))
        return _SURROGATE.sub("?", _CONTROL.sub("?", text))
    elif isinstance(value, Mapping):
        made = {}
        for key, inner in value.items():
            if not isinstance(key, str):
                problems.append(Problem(path(at), "must have text for its keys"))
                continue
            problems.extend(unfit := list(_unfit(key, at, what="has a key with ")))
            if not unfit:
                made[key] = _plain(inner, (*at, key), problems)
        return made
    elif isinstance(value, (list, tuple)):
        return [_plain(inner, (*at, index), problems) for index, inner in enumerate(value)]
    elif at[:1] == ("options",) and (fault := _not_json(value)):
        problems.append(Problem(path(at), fault))
    return value


def _unfit(text: str, at: tuple[str | int, ...], what: str = "has ") -> Iterator[Problem]:
    if found := _CONTROL.search(text):
        yield Problem(
            path(at), f"{what}a control character (U+{ord(found[0]):04X}) at position {found.start() + 1}; remove it"
        )
    elif found := _SURROGATE.search(text):
        yield Problem(
            path(at),
            f"{what}half a character (U+{ord(found[0]):04X}) at position {found.start() + 1}, "
            "which is not valid UTF-8; remove it",
        )


def _not_json(value: object) -> str | None:
    if value is None:
        return "must not be null; leave the key out instead"
    if isinstance(value, (datetime, date, time)):
        return "must be text in quotes, since JSON has no dates"
    if isinstance(value, float) and not math.isfinite(value):
        return "must be a finite number"
    if isinstance(value, (int, float)):
        return None if abs(value) <= MAX_EXACT else f"must be a number between -{MAX_EXACT} and {MAX_EXACT}"
    return f"must be text, a number, true, false, a list or a table, not {shorten(type(value).__name__)}"


def _weigh(prizes: list[Any], problems: list[Problem], hidden: set[str]) -> None:
    """Turns chances into weights, in place. A field already complained about goes into `hidden`."""
    tables = [prize for prize in prizes if isinstance(prize, dict)]
    if not any("chance" in prize for prize in tables):
        return
    if any("weight" in prize for prize in tables):
        problems.append(
            Problem("prizes", "mix weight and chance; use weight for all prizes of a file, or chance for all")
        )
    shares: list[int | None] = []
    readable = len(tables) == len(prizes)
    for index, prize in enumerate(prizes):
        if not isinstance(prize, dict):
            continue
        hidden.add(f"prizes[{index}].weight")
        if "chance" not in prize and "weight" not in prize and prize.get("fallback") is not True:
            problems.append(
                Problem(
                    f"prizes[{index}].chance", 'is missing; write one such as "5%" (only the fallback may do without)'
                )
            )
            readable = False
        try:
            shares.append(parse_percent(prize.pop("chance")) if "chance" in prize else None)
        except ValueError as error:
            problems.append(Problem(f"prizes[{index}].chance", str(error)))
            readable = False
    if not readable or any("weight" in prize for prize in tables):
        # Nothing to add up; the weights' own rules would only repeat that.
        for prize in tables:
            prize.setdefault("weight", 1)
        return
    try:
        weights = share_out(shares)
    except ValueError as error:
        problems.append(Problem("prizes", str(error)))
        weights = (1,) * len(tables)
    for prize, weight in zip(tables, weights, strict=True):
        prize["weight"] = weight


def _place_in_time(document: dict[str, Any], problems: list[Problem], hidden: set[str]) -> None:
    """Turns the document's moments into aware datetimes, in place."""
    zone = ZoneInfo("UTC")
    if "timezone" in document:
        hidden.add("timezone")
        try:
            zone = read_zone(document["timezone"])
        except ValueError as error:
            problems.append(Problem("timezone", str(error)))
    for name in ("starts_at", "ends_at"):
        if document.get(name) is not None:
            document[name] = _moment(document[name], zone, name, problems, hidden)
    prizes = document.get("prizes")
    for index, prize in enumerate(prizes[:MAX_PRIZES] if isinstance(prizes, list) else []):
        release = prize.get("release") if isinstance(prize, dict) else None
        if isinstance(release, dict) and isinstance(release.get("moments"), list):
            release["moments"] = [
                _moment(moment, zone, f"prizes[{index}].release.moments[{number}]", problems, hidden)
                for number, moment in enumerate(release["moments"])
            ]
    chances = document.get("chances")
    if isinstance(chances, dict) and isinstance(chances.get("day_starts"), time):
        chances["day_starts"] = _time_of_day(chances["day_starts"])


def _time_of_day(value: time) -> str:
    return value.isoformat("minutes") if not (value.second or value.microsecond) else value.isoformat()


def _moment(value: object, zone: ZoneInfo, where: str, problems: list[Problem], hidden: set[str]) -> datetime | str:
    try:
        return read_moment(value, zone)
    except ValueError as error:
        problems.append(Problem(where, str(error)))
        hidden.add(where)
        return "unreadable"
