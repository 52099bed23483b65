"""The wheel's manifest, options, layout and reveal: pure.

Angles are integers in thousandths of a degree, clockwise from the top of the resting wheel, so that Python and
the browser mean exactly the same place.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from hashlib import sha256
from itertools import pairwise
from typing import ClassVar, cast

from pydantic import Field

from gamekit.plugin import CampaignView, GameOptions, Layout, Manifest, Outcome, Reveal

FULL = 360_000
LEAST = 6_000
"""The smallest wedge: a narrower one could not be read, and a prize of weight 0 must still be showable."""
_EDGE = 32
"""1/32 of the wedge at either side is kept clear, so that the eye never has to ask which wedge it was."""


class Wedges(StrEnum):
    EQUAL = "equal"
    ODDS = "odds"


class Options(GameOptions):
    """What a marketer may set for a wheel."""

    wedges: Wedges = Field(
        default=Wedges.EQUAL, description="Equal wedges, or wedges to scale with the odds (none under 6 degrees)."
    )
    show_odds: bool = Field(default=True, description="Print each prize's odds on its wedge.")
    turns: int = Field(default=3, ge=2, le=8, description="Full turns between the answer and the stop.")


class Wheel:
    """The plugin."""

    manifest: ClassVar[Manifest] = Manifest(
        key="wheel",
        package="games.wheel",
        name={"zh-Hant": "輪盤", "en": "Wheel"},
        description={
            "zh-Hant": "轉動輪盤，指針停在哪一格就是哪個獎項。",
            "en": "Spin the wheel; where the pointer stops is the prize.",
        },
        min_prizes=2,
        max_prizes=24,
        several=False,
    )
    Options: ClassVar[type[GameOptions]] = Options

    def layout(self, campaign: CampaignView, options: GameOptions) -> Layout:
        """`{"wedges": [{"key", "name", "nothing", "odds", "start", "sweep"}]}`, wedges clockwise from the top."""
        chosen = _chosen(options)
        weights = [prize.weight for prize in campaign.prizes]
        sweeps = _sweeps(weights, chosen.wedges)
        wedges: list[dict[str, object]] = []
        start = 0
        for prize, sweep in zip(campaign.prizes, sweeps, strict=True):
            wedges.append(
                {
                    "key": prize.key,
                    "name": dict(prize.name),
                    "nothing": prize.kind == "nothing",
                    "odds": percent(prize.weight, sum(weights)) if chosen.show_odds else None,
                    "start": start,
                    "sweep": sweep,
                }
            )
            start += sweep
        return cast("Layout", {"wedges": wedges})

    def present(self, outcome: Outcome, layout: Layout, options: GameOptions, seed: bytes) -> Reveal:
        """`{"prize", "angle", "turns"}`: the angle of the wheel that comes to rest under the pointer.

        The angle is uniform inside the wedge, the same way for every prize, so no near-miss is ever staged.
        """
        wedges = cast("list[Mapping[str, int]]", layout["wedges"])
        wedge = wedges[outcome.index]
        margin = wedge["sweep"] // _EDGE
        room = wedge["sweep"] - 2 * margin
        # 128 bits over at most 360,000 places: the bias of the remainder is below 10^-32.
        offset = int.from_bytes(sha256(b"wheel angle\n" + seed).digest()[:16], "big") % room
        return {"prize": outcome.prize, "angle": wedge["start"] + margin + offset, "turns": _chosen(options).turns}


def percent(weight: int, total: int) -> str:
    """`weight / total` as people read it: at most two significant decimals below 1 %, never a false 0 or 100 %."""
    if weight in (0, total):
        return "0%" if weight == 0 else "100%"
    share = Decimal(weight) * 100 / Decimal(total)
    for digits in ("1", "0.1", "0.01"):
        rounded = share.quantize(Decimal(digits), ROUND_HALF_UP)
        exact = rounded == share
        if exact or (share >= 1 and digits == "0.1") or (share < 1 and digits == "0.01"):
            if rounded == 0:
                return "<0.01%"
            return ">99.9%" if rounded >= 100 else f"{rounded}%"
    raise AssertionError("the last digit always ends the loop")


def _sweeps(weights: list[int], wedges: Wedges) -> list[int]:
    total = sum(weights)
    if wedges is Wedges.EQUAL or total == 0:
        edges = [FULL * index // len(weights) for index in range(len(weights) + 1)]
    else:
        shared = FULL - LEAST * len(weights)
        below = 0
        edges = [0]
        for index, weight in enumerate(weights, 1):
            below += weight
            edges.append(LEAST * index + shared * below // total)
    return [high - low for low, high in pairwise(edges)]


def _chosen(options: GameOptions) -> Options:
    if not isinstance(options, Options):
        raise TypeError(f"the wheel needs its own Options, not {type(options).__name__}")
    return options
