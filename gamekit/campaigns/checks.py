"""What no single field of a campaign can know: rules across fields and across prizes.

Works on the raw tables, and looks only at values of the right type, so that these rules are told together with
faults of shape: one reading names every fault.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime

from gamekit.campaigns.document import PrizeKind, ReleaseKind
from gamekit.campaigns.sentences import shorten
from gamekit.errors import Problem
from gamekit.odds.table import MAX_PRIZES, MAX_TOTAL

PLACEHOLDERS = ("prize", "code")
"""What a prize's message may name in braces."""

Table = Mapping[str, object]


def check(document: Table) -> list[Problem]:
    """Every broken rule of `document`, whose moments are already datetimes and whose chances are already weights."""
    problems = list(_opening(document))
    problems += _triggers(document.get("triggers"))
    prizes = document.get("prizes")
    if isinstance(prizes, (list, tuple)):
        problems += _prizes(prizes)
        for index, prize in enumerate(prizes[:MAX_PRIZES]):
            if isinstance(prize, Mapping):
                where = f"prizes[{index}]"
                problems += _codes(where, prize)
                problems += _fallback(where, prize)
                problems += _release(where, prize, document)
                problems += _expiry(where, prize, document)
                problems += _message(where, prize)
                problems += _repeated(f"{where}.tags", prize.get("tags"))
    return problems


def _opening(document: Table) -> Iterator[Problem]:
    starts, ends = document.get("starts_at"), document.get("ends_at")
    if isinstance(starts, datetime) and isinstance(ends, datetime) and ends <= starts:
        yield Problem("ends_at", f"must be after starts_at ({starts.isoformat()})")


def _triggers(triggers: object) -> Iterator[Problem]:
    if isinstance(triggers, Mapping):
        yield from _repeated("triggers.keywords", triggers.get("keywords"))
        yield from _repeated("triggers.refs", triggers.get("refs"))


def _repeated(where: str, values: object) -> Iterator[Problem]:
    if not isinstance(values, (list, tuple)):
        return
    seen: set[str] = set()
    for index, value in enumerate(values):
        if isinstance(value, str):
            if value.casefold() in seen:
                yield Problem(f"{where}[{index}]", f'repeats "{shorten(value)}"; leave one of the two out')
            seen.add(value.casefold())


def _prizes(prizes: Sequence[object]) -> Iterator[Problem]:
    if not 1 <= len(prizes) <= MAX_PRIZES:
        yield Problem("prizes", f"must be 1 to {MAX_PRIZES} prizes, not {len(prizes)}")
        return
    tables = [prize if isinstance(prize, Mapping) else {} for prize in prizes]
    seen: dict[str, int] = {}
    for index, prize in enumerate(tables):
        key = prize.get("key")
        if isinstance(key, str) and seen.setdefault(key, index) != index:
            yield Problem(
                f"prizes[{index}].key",
                f'"{shorten(key)}" is already the key of prizes[{seen[key]}]; each prize needs its own',
            )
    fallbacks = [index for index, prize in enumerate(tables) if prize.get("fallback") is True]
    if not fallbacks:
        yield Problem("prizes", "have no fallback; mark the one prize that never runs out with fallback = true")
    for index in fallbacks[1:]:
        yield Problem(
            f"prizes[{index}].fallback",
            f"must be left out: prizes[{fallbacks[0]}] is the fallback already, and exactly one prize can be",
        )
    weights = [weight for prize in tables if type(weight := prize.get("weight")) is int and 0 <= weight <= MAX_TOTAL]
    if len(weights) == len(tables) and sum(weights) == 0:
        yield Problem("prizes", "have only weights of 0; give at least one prize a weight above 0")
    if sum(weights) > MAX_TOTAL:
        yield Problem(
            "prizes", f"have weights that add up to more than {MAX_TOTAL:,}; use smaller ones in the same proportion"
        )


def _codes(where: str, prize: Table) -> Iterator[Problem]:
    kind, codes = prize.get("kind"), prize.get("codes")
    if kind == PrizeKind.COUPON and codes is None:
        yield Problem(f"{where}.codes", 'is missing; a coupon prize needs codes = "pool" or { shared = "LATTE2" }')
    if codes is not None and kind in set(PrizeKind) - {PrizeKind.COUPON}:
        yield Problem(
            f"{where}.codes",
            f'must be left out: only a coupon prize has codes (or write kind = "coupon" instead of "{kind}")',
        )


def _fallback(where: str, prize: Table) -> Iterator[Problem]:
    if prize.get("fallback") is not True:
        return
    release = prize.get("release")
    if prize.get("stock") is not None:
        yield Problem(f"{where}.stock", "must be left out: the fallback never runs out")
    if prize.get("codes") == "pool":
        yield Problem(
            f"{where}.codes", 'must not be "pool": the fallback never runs out, and a pool does; use { shared = "…" }'
        )
    if prize.get("per_player") is not None:
        yield Problem(f"{where}.per_player", "must be left out: the fallback is what a capped player gets")
    if isinstance(release, Mapping) and release.get("kind") != ReleaseKind.ALL:
        yield Problem(f"{where}.release", "must be left out: the fallback is always there")


def _release(where: str, prize: Table, document: Table) -> Iterator[Problem]:
    release = prize.get("release")
    if not isinstance(release, Mapping) or release.get("kind") not in set(ReleaseKind):
        return
    kind, units, moments = ReleaseKind(str(release["kind"])), release.get("units"), release.get("moments")
    bounded = prize.get("stock") is not None or prize.get("codes") == "pool"
    if kind != ReleaseKind.ALL and not bounded and prize.get("fallback") is not True:
        yield Problem(f"{where}.stock", f'is missing; a release of kind "{kind}" needs a stock, or codes = "pool"')
    if kind == ReleaseKind.PER_DAY and units is None:
        yield Problem(
            f"{where}.release.units", 'is missing; kind "per_day" needs how many units a day opens, such as units = 10'
        )
    if kind != ReleaseKind.PER_DAY and units is not None:
        yield Problem(f"{where}.release.units", f'belongs to kind "per_day"; leave it out for kind "{kind}"')
    if kind == ReleaseKind.EVENLY and document.get("ends_at") is None:
        yield Problem(
            f"{where}.release.kind", 'is "evenly", which needs to know until when: set ends_at for the campaign'
        )
    if kind == ReleaseKind.MOMENTS and not moments and moments in (None, [], ()):
        yield Problem(
            f"{where}.release.moments",
            'is missing; kind "moments" needs at least one, such as [2026-12-24T18:00:00+08:00]',
        )
    if kind != ReleaseKind.MOMENTS and moments:
        yield Problem(f"{where}.release.moments", f'belongs to kind "moments"; leave it out for kind "{kind}"')
    elif isinstance(moments, (list, tuple)):
        yield from _moments(f"{where}.release.moments", moments, document)


def _moments(where: str, moments: Sequence[object], document: Table) -> Iterator[Problem]:
    starts, ends = document.get("starts_at"), document.get("ends_at")
    before: datetime | None = None
    for index, moment in enumerate(moments):
        if not isinstance(moment, datetime):
            continue
        if before is not None and moment <= before:
            yield Problem(f"{where}[{index}]", f"must be after the moment before it ({before.isoformat()})")
        if isinstance(starts, datetime) and moment < starts:
            yield Problem(f"{where}[{index}]", f"must not be before the campaign's starts_at ({starts.isoformat()})")
        if isinstance(ends, datetime) and moment >= ends:
            yield Problem(f"{where}[{index}]", f"must be before the campaign's ends_at ({ends.isoformat()})")
        before = moment


def _expiry(where: str, prize: Table, document: Table) -> Iterator[Problem]:
    expires, ends = prize.get("expires"), document.get("ends_at")
    try:
        last = date.fromisoformat(expires) if isinstance(expires, str) else expires
    except ValueError:
        return  # told as a fault of shape
    if type(last) is date and isinstance(ends, datetime) and last < ends.date():
        yield Problem(
            f"{where}.expires",
            f"must not be before the campaign's last day ({ends.date()}), or a coupon could be won already expired",
        )


def _message(where: str, prize: Table) -> Iterator[Problem]:
    message = prize.get("message")
    if not isinstance(message, Mapping):
        return
    for locale, text in message.items():
        if not isinstance(locale, str) or not isinstance(text, str):
            continue
        for name in re.findall(r"\{([^{}]{0,100})\}", text[:2_000]):
            if name not in PLACEHOLDERS:
                yield Problem(
                    f"{where}.message.{shorten(locale)}",
                    f"names {{{shorten(name)}}}; it can name {{prize}} and {{code}}",
                )
            elif name == "code" and prize.get("codes") is None and prize.get("kind") != PrizeKind.COUPON:
                yield Problem(
                    f"{where}.message.{shorten(locale)}", "names {code}, but this prize has no codes; leave {code} out"
                )
