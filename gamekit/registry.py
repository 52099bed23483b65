"""The games that are installed, and the one way to ask them for a layout."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Protocol

from pydantic import ValidationError

from gamekit.errors import ConfigError, InvalidInput, Problem
from gamekit.plugin import CampaignView, Game, GameOptions, Layout, Manifest

GROUP = "gamekit.games"

_KEY = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*\Z")


class GameCampaign(CampaignView, Protocol):
    """A campaign that names its game; a campaign document fits."""

    @property
    def game(self) -> str: ...
    @property
    def options(self) -> Mapping[str, Any]: ...


def load_games(points: Iterable[EntryPoint] | None = None) -> Mapping[str, Game]:
    """Every installed game by its key; immutable.

    Raises `ConfigError` naming the entry point and what is wrong with it: it does not import, is not a game,
    lacks a file, has another name than its manifest's key, or a key is taken twice.
    """
    found: dict[str, Game] = {}
    owners: dict[str, str] = {}
    installed = entry_points(group=GROUP) if points is None else points
    for point in sorted(installed, key=lambda point: (point.name, point.value)):
        game = _load(point)
        key = game.manifest.key
        if owners.get(key, point.value) != point.value:
            both = f"{owners[key]} and {point.value}"
            raise ConfigError(f"Two installed games have the key “{key}”: {both}; uninstall one")
        found[key], owners[key] = game, point.value
    return MappingProxyType(found)


def _load(point: EntryPoint) -> Game:
    where = f"The game “{point.name}” ({point.value})"
    try:
        game = point.load()
    except Exception as error:  # someone else's code: whatever it raises, the operator needs to know whose it is
        raise ConfigError(f"{where} cannot be imported: {type(error).__name__}: {error}") from error
    manifest = getattr(game, "manifest", None)
    if not isinstance(manifest, Manifest):
        raise ConfigError(f"{where} has no `manifest` of gamekit.plugin.Manifest")
    options = getattr(game, "Options", None)
    if not (isinstance(options, type) and issubclass(options, GameOptions)):
        raise ConfigError(f"{where} has no `Options` class derived from gamekit.plugin.GameOptions")
    for method in ("layout", "present"):
        if not callable(getattr(game, method, None)):
            raise ConfigError(f"{where} has no method `{method}`")
    if manifest.key != point.name or not _KEY.match(manifest.key):
        raise ConfigError(
            f"{where} calls itself “{manifest.key}” in its manifest; the entry point must have the same name, "
            "in lower-case letters, digits and hyphens"
        )
    if not 1 <= manifest.min_prizes <= manifest.max_prizes:
        raise ConfigError(f"{where} must take at least 1 prize and no fewer at most than at least")
    for name in ("templates/play.html", *(f"static/{name}" for name in manifest.static)):
        if not files(manifest.package).joinpath(name).is_file():
            raise ConfigError(f"{where} lacks the file {name} in the package {manifest.package}")
    return game  # type: ignore[no-any-return]


def find_problems(games: Mapping[str, Game], campaign: GameCampaign) -> tuple[Problem, ...]:
    """What keeps this campaign from being shown: an unknown game, wrong options, too few or too many prizes."""
    game = games.get(campaign.game)
    if game is None:
        known = ", ".join(sorted(games)) or "none"
        near = get_close_matches(campaign.game, games, n=1)
        meant = f"did you mean “{near[0]}”? " if near else ""
        return (Problem("game", f"is not an installed game; {meant}installed: {known}"),)
    problems: list[Problem] = []
    try:
        options_of(game, campaign)
    except InvalidInput as error:
        problems.extend(error.problems)
    least, most, count = game.manifest.min_prizes, game.manifest.max_prizes, len(campaign.prizes)
    if not least <= count <= most:
        message = f"must be {least} to {most} prizes for the game “{campaign.game}”, not {count}"
        problems.append(Problem("prizes", message))
    return tuple(problems)


def options_of(game: Game, campaign: GameCampaign) -> GameOptions:
    """The campaign's options, validated. Raises `InvalidInput` with a problem per field, named `options.…`."""
    try:
        return game.Options.model_validate(dict(campaign.options))
    except ValidationError as error:
        known = list(game.Options.model_fields)
        problems = []
        for item in error.errors():
            field = ".".join(str(part) for part in ("options", *item["loc"]))
            message = item["msg"]
            if item["type"] == "extra_forbidden":
                near = get_close_matches(str(item["loc"][-1]), known, n=1)
                meant = f"did you mean “{near[0]}”? " if near else ""
                message = f"is not an option of this game; {meant}known: {', '.join(known) or 'none'}"
            problems.append(Problem(field, message))
        raise InvalidInput(problems=tuple(problems)) from error


def layout_of(games: Mapping[str, Game], campaign: GameCampaign) -> Layout:
    """What the page must know of this campaign before a draw."""
    game = get_game(games, campaign)
    return game.layout(campaign, options_of(game, campaign))


def get_game(games: Mapping[str, Game], campaign: GameCampaign) -> Game:
    """The campaign's game. Raises `ConfigError` where it was uninstalled after the campaign was published."""
    try:
        return games[campaign.game]
    except KeyError:
        raise ConfigError(f"The game “{campaign.game}” is not installed; install its package again") from None
