"""What changed between two campaigns, and how a terminal shows it."""

from __future__ import annotations

import copy
import tomllib
from pathlib import Path
from typing import Any

from gamekit.campaigns.changes import Change, diff, render_diff
from gamekit.campaigns.schemas import CampaignDocument, parse_document

SUMMER = tomllib.loads((Path(__file__).parents[1] / "vectors" / "summer-wheel.toml").read_text("utf-8"))


def _document(**changes: Any) -> CampaignDocument:
    return parse_document(copy.deepcopy(SUMMER) | changes)


OLD = _document()


def _with_latte(**changes: Any) -> CampaignDocument:
    latte, thanks = copy.deepcopy(SUMMER["prizes"])
    return _document(prizes=[latte | changes, thanks])


def test_no_change() -> None:
    """Equal documents have no changes, and the terminal says so."""
    assert diff(OLD, _document()) == ()
    assert render_diff(()) == "No changes.\n"


def test_a_weight() -> None:
    """An edited weight is one change, at the prize's key."""
    changes = diff(OLD, _with_latte(weight=600))
    assert changes == (Change("prizes.latte.weight", 500, 600),)
    assert render_diff(changes) == "~ prizes.latte.weight  500 → 600\n"


def test_nested_fields_come_and_go() -> None:
    """A field that was absent has no before; one that is gone has no after."""
    changes = diff(
        _document(options={"a.b": {"c": 1}}),
        _document(options={"a.b": {"c": True}, "d": []}, limits={}, name=SUMMER["name"] | {"en": "Winter wheel"}),
    )
    assert sorted(changes, key=lambda change: change.field) == [
        Change("limits", {"wins_per_player": 2}, None),
        Change("name.en", "Summer wheel", "Winter wheel"),
        Change('options."a.b".c', 1, True),
        Change("options.d", None, []),
    ]


def test_prizes_are_matched_by_key() -> None:
    """A prize that came or went is one change, and moving one changes only the order, which counts for the odds."""
    latte, thanks = copy.deepcopy(SUMMER["prizes"])
    mug = latte | {"key": "mug", "kind": "gift", "codes": None, "message": None}
    came = diff(OLD, _document(prizes=[latte, mug, thanks]))
    assert [change.field for change in came] == ["prizes.mug"]
    assert came[0].before is None
    assert came[0].after["weight"] == 500
    gone = diff(_document(prizes=[latte, mug, thanks]), OLD)
    assert gone == (Change("prizes.mug", came[0].after, None),)
    assert diff(OLD, _document(prizes=[thanks, latte])) == (Change("prizes", ["latte", "thanks"], ["thanks", "latte"]),)
    assert render_diff(came).startswith('+ prizes.mug  key "mug", kind "gift"')
    assert render_diff(gone).startswith("- prizes.mug")


def test_a_moment_written_with_another_offset_is_no_change() -> None:
    """10:00 in Taipei is 02:00 in UTC."""
    assert diff(OLD, _document(starts_at="2026-12-01T02:00:00Z")) == ()
    changes = diff(OLD, _document(starts_at="2026-12-01T03:00:00Z"))
    assert changes == (Change("starts_at", "2026-12-01T10:00:00+08:00", "2026-12-01T11:00:00+08:00"),)


def test_dates_moments_and_lists_are_json() -> None:
    """Changes can go into an API's answer as they are."""
    moments = ["2026-12-05T00:00:00", "2026-12-06T00:00:00"]
    changes = diff(
        OLD, _with_latte(expires="2027-01-31", tags=["a", "b"], release={"kind": "moments", "moments": moments})
    )
    assert {change.field: change.after for change in changes} == {
        "prizes.latte.expires": "2027-01-31",
        "prizes.latte.tags": ["a", "b"],
        "prizes.latte.release.kind": "moments",
        "prizes.latte.release.units": None,
        "prizes.latte.release.moments": ["2026-12-05T00:00:00+08:00", "2026-12-06T00:00:00+08:00"],
    }


def test_a_new_campaign_is_all_additions() -> None:
    """Compared with nothing, everything is new, and no line is longer than a terminal shows."""
    lines = render_diff(diff(None, OLD)).splitlines()
    assert all(line.startswith("+ ") and len(line) < 110 for line in lines)
    assert "+ prizes.latte" in "\n".join(lines)
