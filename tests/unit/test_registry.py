from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any

import pytest

from gamekit.errors import ConfigError
from gamekit.plugin import Game, GameOptions
from gamekit.registry import find_problems, layout_of, load_games
from games.wheel import game as wheel


@dataclass(frozen=True)
class Prize:
    key: str
    kind: str = "gift"
    weight: int = 1
    name: dict[str, str] = field(default_factory=lambda: {"en": "A prize"})


@dataclass(frozen=True)
class Campaign:
    game: str = "wheel"
    options: dict[str, Any] = field(default_factory=dict)
    prizes: tuple[Prize, ...] = (Prize("tea"), Prize("thanks", "nothing"))
    name: dict[str, str] = field(default_factory=lambda: {"en": "Summer"})


def point(value: str = "games.wheel:game", name: str = "wheel") -> EntryPoint:
    return EntryPoint(name, value, "gamekit.games")


def install(monkeypatch: pytest.MonkeyPatch, game: object) -> EntryPoint:
    module = ModuleType("someones_game")
    module.game = game  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "someones_game", module)
    return point("someones_game:game")


def test_installed_games_are_found_and_cannot_be_changed() -> None:
    """The entry-point group holds the wheel; the mapping is read-only."""
    games = load_games()
    assert "wheel" in games
    with pytest.raises(TypeError):
        games["mine"] = games["wheel"]  # type: ignore[index]


def test_a_game_that_does_not_import_is_named() -> None:
    """The error says whose package it is and what went wrong."""
    with pytest.raises(ConfigError, match=r"“wheel” \(no_such_package:game\) cannot be imported: ModuleNotFoundError"):
        load_games([point("no_such_package:game")])


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"manifest": None}, "has no `manifest`"),
        ({"Options": object}, "has no `Options` class"),
        ({"present": None}, "has no method `present`"),
        ({"manifest": replace(wheel.manifest, key="Wheel!")}, "calls itself “Wheel!”"),
        ({"manifest": replace(wheel.manifest, min_prizes=9, max_prizes=3)}, "no fewer at most"),
        ({"manifest": replace(wheel.manifest, static=("game.js", "art.css"))}, "lacks the file static/art.css"),
    ],
)
def test_what_is_no_game_is_refused(monkeypatch: pytest.MonkeyPatch, attributes: dict[str, Any], message: str) -> None:
    """Each fault of a plugin is told when it is loaded, not when a player opens it."""
    broken = type("Broken", (type(wheel),), attributes)()
    with pytest.raises(ConfigError, match=message):
        load_games([install(monkeypatch, broken)])


def test_two_games_of_one_key_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator is told which two packages they are."""
    with pytest.raises(ConfigError, match=r"games\.wheel:game and someones_game:game"):
        load_games([point(), install(monkeypatch, wheel)])


@pytest.mark.parametrize(
    ("campaign", "fields"),
    [
        (Campaign(), []),
        (Campaign(game="weel"), ["game"]),
        (Campaign(options={"turn": 3}), ["options.turn"]),
        (Campaign(options={"turns": 99}), ["options.turns"]),
        (Campaign(prizes=(Prize("thanks"),)), ["prizes"]),
        (
            Campaign(prizes=tuple(Prize(f"p{number}") for number in range(25)), options={"a": 1}),
            ["options.a", "prizes"],
        ),
    ],
)
def test_a_campaign_that_cannot_be_shown_is_told_why(campaign: Campaign, fields: list[str]) -> None:
    """Every fault names its field, all at once."""
    assert [problem.field for problem in find_problems(load_games([point()]), campaign)] == fields


def test_near_names_are_suggested() -> None:
    """A slip of the finger is answered with what was meant."""
    [problem] = find_problems(load_games([point()]), Campaign(game="whell"))
    assert "did you mean “wheel”" in problem.message
    [problem] = find_problems(load_games([point()]), Campaign(options={"turn": 3}))
    assert "did you mean “turns”" in problem.message


def test_an_uninstalled_game_is_a_setting_to_mend() -> None:
    """The error says what to install again."""
    with pytest.raises(ConfigError, match="install its package again"):
        layout_of({}, Campaign())


def test_the_wheel_is_a_game() -> None:
    """The protocol and the plugin agree (checked by mypy), and its options say what they are."""
    checked: Game = wheel
    assert issubclass(checked.Options, GameOptions)
    schema = checked.Options.model_json_schema()
    assert all("description" in one for one in schema["properties"].values())
